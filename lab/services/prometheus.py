# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's prometheus in the gateway's namespace. It scrapes the server there and answers queries."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from lab.clients.api import ADMIN_PORT
from lab.processes.programs import Program
from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    from pathlib import Path

    from lab.network import Network

ADDRESS = "127.0.0.1:9090"
INSTANCE = f"127.0.0.1:{ADMIN_PORT}"
INTERVAL = 0.5  # seconds between two scrapes
_CONFIGURATION = f"""
global: {{scrape_interval: {int(INTERVAL * 1000)}ms, scrape_timeout: {int(INTERVAL * 1000)}ms}}
scrape_configs:
  - job_name: ocsentry
    static_configs: [{{targets: ["{INSTANCE}"]}}]
"""


class Prometheus:
    """Runs until the network is closed."""

    def __init__(self, network: Network, folder: Path) -> None:
        folder.mkdir()
        self._gateway = network.gateway
        configuration = folder / "prometheus.yml"
        configuration.write_text(_CONFIGURATION)
        command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}"]
        program = Program("prometheus", [*command, f"--web.listen-address={ADDRESS}"], network.gateway)
        network.programs.append(program)
        program.await_line("Server is ready to receive web requests")

    def query(self, expression: str, *, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Returns the series of a range: their labels, and (Unix time, value as text) pairs. Raises for an error."""
        query = {"query": expression, "start": start, "end": end, "step": step}
        with self._gateway.entered():
            url = f"http://{ADDRESS}/api/v1/query_range?{urllib.parse.urlencode(query)}"
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                document = json.load(answer)
        assert document["status"] == "success", document
        found: list[dict[str, Any]] = document["data"]["result"]
        return found
