# SPDX-License-Identifier: GPL-3.0-or-later
"""Who tries too often finds the door shut: the TCP connection is closed before the server says a byte.

host 1 10.77.1.2 ── v1 ┐
host 2 10.77.2.2 ── v2 ┴ gateway 10.77.0.1, `ocsentry serve` with the rules of each test
"""

from __future__ import annotations

import time

from tests.e2e.lab.probes import Door, knock, silent_close
from tests.e2e.lab.server import INNER_IPV4

PENALTY = 2.0  # seconds, as in the rules below


def connection_limit(count: int, penalty: int) -> dict[str, object]:
    return {
        "id": "default_rate_limit",
        "type": "rate_limit",
        "remote_addr": "0.0.0.0/0",
        "max_connections_per_minute": count,
        "penalty_duration_sec": penalty,
        "action": "rate_limit",
    }


def await_moment(moment: float) -> None:
    """Time itself is what is waited for: the end of a penalty has no other event."""
    time.sleep(max(0.0, moment - time.monotonic()))


def test_five_connections_pass_and_the_sixth_is_refused_until_the_penalty_ends(lab):
    server = lab.serve(rules=[connection_limit(5, 2)])
    host = lab.host()
    assert [knock(host) for _ in range(5)] == [Door.OPEN] * 5
    before = time.monotonic()
    assert silent_close(host)
    refused = time.monotonic()
    while time.monotonic() < before + PENALTY - 0.2:
        began = time.monotonic()
        answer = silent_close(host)
        # The penalty began between `before` and `refused`; a knock that ended before `before` + 2 s was inside it.
        assert answer or time.monotonic() > before + PENALTY
        await_moment(began + 0.2)
    await_moment(refused + PENALTY)
    assert knock(host) is Door.OPEN
    assert server.program.running


def test_the_limit_is_each_sources_own(lab):
    lab.serve(rules=[connection_limit(5, 60)])
    greedy, other = lab.host(), lab.host()
    assert [knock(greedy) for _ in range(6)] == [Door.OPEN] * 5 + [Door.SHUT]
    assert knock(other) is Door.OPEN


def test_a_real_client_is_refused_and_let_in_after_the_penalty(lab):
    server = lab.serve(rules=[connection_limit(5, 2)])
    host = lab.host()
    while knock(host) is Door.OPEN:
        pass
    refused = time.monotonic()
    client = server.connect(host)
    assert client.await_exit() != 0
    assert not client.find("Connected to HTTPS")
    await_moment(refused + PENALTY)
    client = server.connect(host)
    client.await_up()
    assert client.ping(INNER_IPV4) == 1.0


def test_wrong_passwords_shut_the_door_for_a_while(lab):
    limit = {
        "id": "guessing",
        "type": "auth_limit",
        "remote_addr": "0.0.0.0/0",
        "max_failures": 3,
        "window_sec": 60,
        "penalty_duration_sec": 3,
    }
    server = lab.serve(rules=[limit])
    host, bystander = lab.host(), lab.host()
    for _ in range(4):
        assert knock(host) is Door.OPEN
        client = server.connect(host, password="wrong")
        assert client.await_exit() != 0
        assert client.find("Connected to HTTPS")
    shut = time.monotonic()
    assert silent_close(host)
    refused = server.connect(host)
    assert refused.await_exit() != 0
    assert not refused.find("Connected to HTTPS")
    assert knock(bystander) is Door.OPEN
    await_moment(shut + 3)
    server.connect(host).await_up()


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
