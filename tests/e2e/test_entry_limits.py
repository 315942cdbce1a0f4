# SPDX-License-Identifier: GPL-3.0-or-later
"""Who tries too often finds the door shut: the TCP connection is closed before the server says a byte.

host 1 10.77.1.2 ── v1 ┐
host 2 10.77.2.2 ── v2 ┴ gateway 10.77.0.1, `ocsentry serve` with the rules of each test
"""

from __future__ import annotations

import time

from lab.probes import Door, await_door, knock, silent_close
from lab.server import INNER_IPV4

PENALTY = 2  # seconds, for tests that wait for its end
LONG_PENALTY = 600  # seconds, for tests that must come before its end, however slow the machine is
KNOCK_EVERY = 0.2  # seconds


def connection_limit(count: int, penalty: int, network: str = "0.0.0.0/0") -> dict[str, object]:
    return {
        "id": f"limit_{penalty}",
        "type": "rate_limit",
        "remote_addr": network,
        "max_connections_per_minute": count,
        "penalty_duration_sec": penalty,
        "action": "rate_limit",
    }


def guess_limit(penalty: int, network: str) -> dict[str, object]:
    return {
        "id": f"guessing_{penalty}",
        "type": "auth_limit",
        "remote_addr": network,
        "max_failures": 3,
        "window_sec": 600,
        "penalty_duration_sec": penalty,
    }


def test_five_connections_pass_and_the_sixth_is_refused_until_the_penalty_ends(lab):
    server = lab.serve(rules=[connection_limit(5, PENALTY)])
    host = lab.host()
    assert [knock(host) for _ in range(5)] == [Door.OPEN] * 5
    before = time.monotonic()
    assert silent_close(host)
    while time.monotonic() < before + PENALTY / 2:
        answer = silent_close(host)
        assert answer or time.monotonic() > before + PENALTY / 2, "open again although the penalty is not over"
        time.sleep(KNOCK_EVERY)  # time itself is what is waited for
    await_door(host, Door.OPEN)
    assert time.monotonic() > before + PENALTY / 2
    assert server.program.running


def test_the_limit_is_each_sources_own(lab):
    lab.serve(rules=[connection_limit(5, 60)])
    greedy, other = lab.host(), lab.host()
    assert [knock(greedy) for _ in range(6)] == [Door.OPEN] * 5 + [Door.SHUT]
    assert knock(other) is Door.OPEN


def is_refused(client) -> bool:
    """The real client ends without having spoken to the server."""
    return client.await_exit() != 0 and not client.find("Connected to HTTPS")


def test_a_real_client_is_refused_and_let_in_after_the_penalty(lab):
    server = lab.serve(
        rules=[connection_limit(5, LONG_PENALTY, "10.77.1.0/24"), connection_limit(5, PENALTY, "10.77.2.0/24")]
    )
    refused, forgiven = lab.host(), lab.host()
    for host in refused, forgiven:
        while knock(host) is Door.OPEN:
            pass
    assert is_refused(server.connect(refused))
    await_door(forgiven, Door.OPEN)
    client = server.connect(forgiven)
    client.await_up()
    assert client.ping(INNER_IPV4) == 1.0


def test_wrong_passwords_shut_the_door_for_a_while(lab):
    server = lab.serve(rules=[guess_limit(LONG_PENALTY, "10.77.1.0/24"), guess_limit(PENALTY, "10.77.2.0/24")])
    refused, forgiven, bystander = lab.host(), lab.host(), lab.host()
    for host in refused, forgiven:
        for _ in range(4):
            assert knock(host) is Door.OPEN
            client = server.connect(host, password="wrong")
            assert client.await_exit() != 0
            assert client.find("Connected to HTTPS")
    assert silent_close(refused)
    assert is_refused(server.connect(refused))
    assert knock(bystander) is Door.OPEN
    await_door(forgiven, Door.OPEN)
    server.connect(forgiven).await_up()


def test_wrong_passwords_that_a_right_one_follows_are_forgiven(lab):
    """The shipped limits: someone who mistypes a few times and then gets in stays in."""
    server = lab.serve()
    host = lab.host()
    for _ in range(3):
        assert server.connect(host, password="wrong").await_exit() != 0
    client = server.connect(host)
    client.await_up()
    assert client.ping(INNER_IPV4) == 1.0
    assert server.api.get("/api/v1/penalties")["items"] == []
