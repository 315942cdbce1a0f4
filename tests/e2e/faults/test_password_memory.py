# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of a password in the memory of the server after a login: none in buffers that the server owns and keeps.

What the interpreter has freed keeps its bytes until it is used again (docs/privileges.md). Objects of the size of a
request lie in the heap of the main thread. The buffers of the native gateway and of its binding lie elsewhere.
"""

from __future__ import annotations

import re
from pathlib import Path

from lab.clients.cstp_client import Tunnel, log_in, open_tunnel
from lab.processes.resource_usage import process_tree
from lab.server import PASSWORD

IN_A_REQUEST = f"<password>{PASSWORD}<".encode()


def mappings_with(pid: int, needle: bytes) -> list[str]:
    """Returns the name of the mapping of each copy of ``needle`` in the writable memory of a process."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, _, _, _, *name = line.split(maxsplit=5)
            if "w" not in rights:
                continue
            start, end = (int(bound, 16) for bound in span.split("-"))
            memory.seek(start)
            try:
                content = memory.read(end - start)
            except OSError:  # it is gone, or guards a stack
                continue
            found += [name[0] if name else "anonymous"] * len(re.findall(re.escape(needle), content))
    return found


def test_no_buffer_keeps_a_request_with_a_password(lab):
    server, host = lab.serve(), lab.host()
    server_process, *helpers = process_tree(server.program.process.pid)
    assert mappings_with(server_process, b"192.168.99.0/24")  # the search finds what is there
    cookie = log_in(host, "alice", PASSWORD)
    assert cookie
    assert set(mappings_with(server_process, IN_A_REQUEST)) <= {"[heap]"}
    tunnel = open_tunnel(host, cookie)
    assert isinstance(tunnel, Tunnel)
    assert tunnel.answers()
    assert set(mappings_with(server_process, IN_A_REQUEST)) <= {"[heap]"}
    for helper in helpers:
        assert mappings_with(helper, PASSWORD.encode()) == []
    tunnel.disconnect()
