# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks are run by a process outside the server's restrictions, and a refusing one keeps its user out.

host 1, host 2, host 3 ── gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import pytest

from lab.server import INNER_IPV4, SERVER_IPV4
from lab.timeouts import eventually

SCRIPT = """#!/bin/sh
[ "$USERNAME" = bob ] && exit 7
if [ "$USERNAME" = carol ] && [ "$REASON" = connect ]; then exec sleep 600; fi
line="$1|$REASON|$USERNAME|$IP_REAL|$IP_REAL_LOCAL|$IP_REMOTE|$DEVICE|$STATS_BYTES_IN"
echo "$line" >>"$2"
ip -o link show "$DEVICE" >/dev/null || echo "no device" >>"$2"
"""


@pytest.fixture
def seen(tmp_path):
    return tmp_path / "seen"


@pytest.fixture
def server(lab, tmp_path, seen):
    program = tmp_path / "hook.sh"
    program.write_text(SCRIPT)
    program.chmod(0o755)
    seen.touch()
    argv = [str(program), "a b;c", str(seen)]
    hooks = {"connect": argv, "disconnect": argv, "host_update": argv, "timeout": 5}
    return lab.serve(settings={"vpn.hooks": hooks})


def lines(seen):
    return [line.split("|") for line in seen.read_text().splitlines()]


def test_programs_see_sessions_begin_and_end(lab, server, seen):
    host = lab.host()
    client = server.connect(host)
    inside = client.await_up()
    assert client.ping(INNER_IPV4) == 1.0
    client.goodbye()
    eventually(lambda: lines(seen), lambda found: found and found[-1][1] == "disconnect", "the disconnect hook")
    found = lines(seen)
    assert [line[1] for line in found if line[1] != "host-update"] == ["connect", "disconnect"]
    for line in found:
        assert line[0] == "a b;c"
        assert line[2:7] == ["alice", host.ipv4, SERVER_IPV4, inside.ipv4, "ocs0"]
    assert int(found[-1][7]) > 0


def test_a_refusing_and_a_slow_hook_concern_their_users_alone(lab, server):
    slow = server.connect(lab.host(), user="carol")
    refused = server.connect(lab.host(), user="bob")
    assert refused.await_exit() != 0
    client = server.connect(lab.host())
    client.await_up()
    slow.await_exit()
    assert [session["user"] for session in server.sessions()] == ["alice"]
    assert "exit code 7" in server.program.output
    assert "it took too long and was killed" in server.program.output
