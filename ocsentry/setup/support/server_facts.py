# SPDX-License-Identifier: GPL-3.0-or-later
"""What the running server answers for the support archive: status, counts, metrics, recent events."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from typing import TYPE_CHECKING, Any

import httpx

from admin_api.http.paths import API_PREFIX
from ocsentry.api_client.client import ClientError, SocketClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = "http://ocsentry"  # any name: the socket leads to the server
ANSWER_TIMEOUT = 10.0  # seconds; a server that hangs is why an archive is made
MAX_EVENTS = 1000
RESOURCES = ("status", "stats", "policy", "feeds", "operations", "fleet", "nodes")


def ask_server(socket: Path) -> Iterator[tuple[str, str]]:
    """Yields a name in the archive and an answer. The first request without an answer is the last one."""
    client = SocketClient(socket, ANSWER_TIMEOUT)
    try:
        if not client.running():
            yield "server/state.txt", f"no server answers at {socket}\n"
            return
        for resource in RESOURCES:
            yield f"server/{resource}.json", _document(client, resource)
        yield "server/metrics.txt", client.send(httpx.Request("GET", f"{HOST}/metrics")).text
        latest = deque(client.stream("events", after="all", follow=False), MAX_EVENTS)
        yield "server/events.jsonl", "".join(f"{json.dumps(event, ensure_ascii=False)}\n" for event in latest)
    except ClientError as error:
        yield "server/state.txt", f"{error}\n"


def _document(client: SocketClient, resource: str) -> str:
    """An answer as JSON; a refusal, such as that of a server without a fleet, is one too."""
    answer = client.send(httpx.Request("GET", f"{HOST}{API_PREFIX}/{resource}"))
    found: Any = answer.text
    with contextlib.suppress(ValueError):
        found = answer.json()
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
