# SPDX-License-Identifier: GPL-3.0-or-later
"""A source over its limit is refused: the server closes the TCP connection before it sends a byte.

host 1 10.77.1.2 ── v1 ┐
host 2 10.77.2.2 ── v2 ┴ gateway 10.77.0.1, `ocsentry serve` with the rules of each test
"""

from __future__ import annotations

import time

from lab.server import INNER_IPV4
from lab.traffic.probes import ProbeResult, await_probe, closes_without_data, probe

PENALTY = 2  # seconds, for tests that wait for its end
LONG_PENALTY = 600  # seconds, for tests that must finish before its end on any machine
PROBE_INTERVAL = 0.2  # seconds


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
    assert [probe(host) for _ in range(5)] == [ProbeResult.HANDSHAKE] * 5
    before = time.monotonic()
    assert closes_without_data(host)
    while time.monotonic() < before + PENALTY / 2:
        answer = closes_without_data(host)
        assert answer or time.monotonic() > before + PENALTY / 2, "accepted although the penalty is not over"
        time.sleep(PROBE_INTERVAL)  # elapsed time is the condition
    await_probe(host, ProbeResult.HANDSHAKE)
    assert time.monotonic() > before + PENALTY / 2
    assert server.program.running


def test_the_limit_is_each_sources_own(lab):
    lab.serve(rules=[connection_limit(5, 60)])
    greedy, other = lab.host(), lab.host()
    assert [probe(greedy) for _ in range(6)] == [ProbeResult.HANDSHAKE] * 5 + [ProbeResult.CLOSED]
    assert probe(other) is ProbeResult.HANDSHAKE


def is_refused(client) -> bool:
    """The real client ends and never got an answer from the server."""
    return client.await_exit() != 0 and not client.find("Connected to HTTPS")


def test_a_real_client_is_refused_and_let_in_after_the_penalty(lab):
    server = lab.serve(
        rules=[connection_limit(5, LONG_PENALTY, "10.77.1.0/24"), connection_limit(5, PENALTY, "10.77.2.0/24")]
    )
    refused, penalised = lab.host(), lab.host()
    for host in refused, penalised:
        while probe(host) is ProbeResult.HANDSHAKE:
            pass
    assert is_refused(server.connect(refused))
    await_probe(penalised, ProbeResult.HANDSHAKE)
    client = server.connect(penalised)
    client.await_up()
    assert client.ping(INNER_IPV4) == 1.0


def test_wrong_passwords_start_a_penalty(lab):
    server = lab.serve(rules=[guess_limit(LONG_PENALTY, "10.77.1.0/24"), guess_limit(PENALTY, "10.77.2.0/24")])
    refused, penalised, bystander = lab.host(), lab.host(), lab.host()
    for host in refused, penalised:
        for _ in range(4):
            assert probe(host) is ProbeResult.HANDSHAKE
            client = server.connect(host, password="wrong")
            assert client.await_exit() != 0
            assert client.find("Connected to HTTPS")
    assert closes_without_data(refused)
    assert is_refused(server.connect(refused))
    assert probe(bystander) is ProbeResult.HANDSHAKE
    await_probe(penalised, ProbeResult.HANDSHAKE)
    server.connect(penalised).await_up()


def test_wrong_passwords_before_a_right_one_are_cleared(lab):
    """The shipped limits: a user who mistypes a few times and then logs in gets no penalty."""
    server = lab.serve()
    host = lab.host()
    for _ in range(3):
        assert server.connect(host, password="wrong").await_exit() != 0
    client = server.connect(host)
    client.await_up()
    assert client.ping(INNER_IPV4) == 1.0
    assert server.api.get("/api/v1/penalties")["items"] == []
