# SPDX-License-Identifier: GPL-3.0-or-later
"""The private key in the memory of processes: with key isolation the signing process alone has it."""

from __future__ import annotations

import base64
import os
import signal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lab.clients.cstp_client import log_in, open_tunnel
from lab.processes.resource_usage import process_tree
from lab.server import PASSWORD
from lab.timeouts import eventually
from tests.e2e.faults.test_password_memory import mappings_with


def forms_of(path: Path) -> list[bytes]:
    """The secret number of the key as programs keep it: in both byte orders, and a line of the file."""
    content = path.read_bytes()
    key = load_pem_private_key(content, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    number = key.private_numbers().private_value
    first = content.splitlines()[1]
    assert base64.b64decode(first)
    return [number.to_bytes(32, "big"), number.to_bytes(32, "little"), first]


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


@pytest.mark.parametrize("isolation", ["on", "off"])
def test_where_the_key_is(lab, isolation):
    """``off`` shows that the search finds what is there."""
    server = lab.serve(settings={"process": {"key_isolation": isolation}})
    host = lab.host()
    forms = forms_of(server.folder / "server.key")
    tunnel = open_tunnel(host, log_in(host, "alice", PASSWORD))
    assert tunnel.answers()
    server.cli("reload")
    again = open_tunnel(host, log_in(host, "bob", PASSWORD))
    assert again.answers()
    having = {
        name_of(pid) if number else "server"
        for number, pid in enumerate(process_tree(server.program.process.pid))
        if any(mappings_with(pid, form) for form in forms)
    }
    assert having == {"signer" if isolation == "on" else "server"}
    tunnel.disconnect()
    again.disconnect()


def test_a_lost_signer_ends_no_tunnel_and_is_said(lab):
    server = lab.serve(settings={"process": {"key_isolation": "on"}})
    host = lab.host()
    tunnel = open_tunnel(host, log_in(host, "alice", PASSWORD))
    assert tunnel.answers()
    (signer,) = [pid for pid in process_tree(server.program.process.pid) if name_of(pid) == "signer"]
    since = len(server.program.lines)
    os.kill(signer, signal.SIGKILL)
    server.program.await_line("signer_lost", since=since)
    assert tunnel.answers()
    with pytest.raises(OSError, match=r"EOF|reset|closed|[Cc]onnection"):
        log_in(host, "bob", PASSWORD)
    assert tunnel.answers()

    def said():
        status, answer = server.api.call("GET", "/readyz")
        return status == 503 and any(text.startswith("signing process: ") for text in answer["problems"])

    eventually(said, bool, "the lost process among the problems")  # on a busy machine checks take turns
    tunnel.disconnect()
