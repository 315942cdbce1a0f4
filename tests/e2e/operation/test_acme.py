# SPDX-License-Identifier: GPL-3.0-or-later
"""`ocsentry cert acme` with a real ACME server, which validates over the VPN's own port while a tunnel is open.

host 1 10.77.1.2 ── v1 ┬ gateway 10.77.0.1, `ocsentry serve`, pebble with its name server
host 2 10.77.2.2 ── v2 ┘
"""

from __future__ import annotations

import json
import re
import stat
from datetime import UTC, datetime

import pytest

from lab.network import SERVER_IPV4
from lab.services.pebble import DIRECTORY, Pebble

NAME, OTHER = "vpn.example.org", "gate.example.org"
NOWHERE = "10.77.250.1"  # no route leads there


def order(lab, server, pebble, *arguments):
    """The command runs where the server does: it has to reach the ACME server."""
    given = ["--directory", DIRECTORY, "--ca", str(pebble.ca), "--agree-tos", "--email", "ops@example.org"]
    with lab.network.gateway.entered():
        return json.loads(server.cli("cert", "acme", *given, "--json", *arguments))


def test_certificates_are_ordered_and_renewed_beside_a_tunnel(lab, tmp_path):
    pebble, server = Pebble(lab.network, tmp_path / "pebble"), lab.serve()
    chain, key = server.folder / "server.crt", server.folder / "server.key"
    before, mode, key_before = chain.read_bytes(), stat.S_IMODE(chain.stat().st_mode), key.read_bytes()
    tunnel = server.connect(lab.host())
    tunnel.await_up()

    # A refusal says why, and changes nothing.
    pebble.resolve_to(NOWHERE)
    with pytest.raises(
        RuntimeError, match=rf"{re.escape(NAME)} is not validated: Failed to connect to {re.escape(NOWHERE)}"
    ):
        order(lab, server, pebble, "--name", NAME)
    assert chain.read_bytes() == before

    pebble.resolve_to(SERVER_IPV4)
    made = order(lab, server, pebble, "--force", "--name", NAME, "--name", OTHER)
    assert (made["changed"], sorted(made["names"])) == (True, [OTHER, NAME])
    assert datetime.fromisoformat(made["not_after"]) > datetime.now(UTC)
    assert (key.read_bytes(), stat.S_IMODE(chain.stat().st_mode)) == (key_before, mode)

    # The client knows the authority alone: no pin.
    root, host = tmp_path / "root.pem", lab.host()
    root.write_bytes(pebble.root())
    verify = ("--no-system-trust", f"--cafile={root}", f"--resolve={OTHER}:{SERVER_IPV4}")
    client = server.connect(host, *verify, server=OTHER, pin=None, user="bob")
    client.await_up()
    client.goodbye()

    first = chain.read_bytes()
    assert order(lab, server, pebble, "--force")["names"] == made["names"]
    assert chain.read_bytes() != first
    assert tunnel.ping("192.168.99.1") == 1.0
    folder = server.folder / "acme"
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())} == {
        "acme": 0o700,
        "account.key": 0o600,
        "state.json": 0o600,
    }
