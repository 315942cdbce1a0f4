# SPDX-License-Identifier: GPL-3.0-or-later
"""Bandwidth and quota of sessions in the running gateway."""

from __future__ import annotations

from ipaddress import ip_address

from vpn_frontend.gateway.interface import QuotaExceeded, SessionClosed
from vpn_frontend.gateway.limits import TunnelLimits

BURST = 65536  # bytes that a bucket holds at least
SLOW = 1  # byte per second: in a test it gains nothing


def send_up(bench, wire, client, size, own=None):
    client.send(wire.frame(wire.data, wire.ipv4(own or wire.own4, wire.outside4, b"u" * (size - 20))))


def exchange(bench, wire, client, sizes, own=None):
    """Send packets up and wait until each was carried or dropped. Returns how many reached the TUN queue."""
    before = bench.gateway.stats()
    for size in sizes:
        send_up(bench, wire, client, size, own)
    carried = 0
    while True:
        stats = bench.gateway.stats()
        dropped = sum(stats[name] - before[name] for name in ("rx_rate_exceeded", "rx_quota_exceeded"))
        if carried + dropped == len(sizes):
            return carried
        bench.tun[0].settimeout(0.05)
        try:
            bench.tun[0].recv(65536)
            carried += 1
        except TimeoutError:
            continue


def test_a_bucket_passes_its_burst_and_then_drops(bench, wire):
    budget = bench.gateway.new_budget()
    budget.set_rates(SLOW, 0)
    client, session = bench.tunnel(limits=TunnelLimits(budgets=(budget,)))
    count = BURST // 1024
    assert exchange(bench, wire, client, [1024] * (count + 3)) == count
    assert bench.gateway.stats()["rx_rate_exceeded"] == 3
    counters = bench.gateway.counters(session)
    assert (counters.rx_packets, counters.rx_dropped) == (count, 3)
    for _ in range(count + 3):  # the other direction has no limit
        bench.tun[0].send(wire.ipv4(wire.outside4, wire.own4, b"d" * 1000))
        assert client.read_frame()[0] == wire.data
    budget.set_rates(0, SLOW)  # in force at once, without a command
    assert exchange(bench, wire, client, [1024] * 3) == 3


def test_the_direction_to_the_client_is_limited_likewise(bench, wire):
    budget = bench.gateway.new_budget()
    budget.set_rates(0, SLOW)
    client, session = bench.tunnel(limits=TunnelLimits(budgets=(budget,)))
    count = BURST // 1024
    for _ in range(count + 5):
        bench.tun[0].send(wire.ipv4(wire.outside4, wire.own4, b"d" * 1004))
    bench.wait_stat("tx_rate_exceeded", 5)
    assert [client.read_frame()[0] for _ in range(count)] == [wire.data] * count
    assert bench.gateway.counters(session).tx_packets == count


def test_sessions_of_a_user_share_a_bucket(start, wire):
    bench = start()
    budget = bench.gateway.new_budget()
    budget.set_rates(SLOW, 0)
    limits = TunnelLimits(budgets=(budget,))
    one, _ = bench.tunnel(limits=limits)
    two, _ = bench.tunnel(ipv4=wire.other4, ipv6=None, limits=limits)
    count = BURST // 1024
    assert exchange(bench, wire, one, [1024] * (count // 2)) == count // 2
    assert exchange(bench, wire, two, [1024] * count, wire.other4) == count - count // 2
    assert exchange(bench, wire, one, [1024]) == 0


def test_a_quota_is_reported_once_and_holds_both_ways(bench, wire):
    budget = bench.gateway.new_budget()
    budget.set_quota(1000)
    client, session = bench.tunnel(limits=TunnelLimits(budgets=(budget,)))
    bench.tun[0].send(wire.ipv4(wire.outside4, wire.own4, b"d" * 380))
    assert client.read_frame()[0] == wire.data
    assert budget.quota_left() == 600
    assert exchange(bench, wire, client, [400, 400, 400]) == 2  # the packet that crosses the end passes
    assert bench.wait(QuotaExceeded) == QuotaExceeded(session)
    bench.tun[0].send(wire.ipv4(wire.outside4, wire.own4))
    bench.wait_stat("tx_quota_exceeded")
    bench.settle()
    assert not [event for event in bench.seen if isinstance(event, QuotaExceeded)]
    assert budget.quota_left() == 0
    counters = bench.gateway.counters(session)
    assert (counters.rx_bytes + counters.tx_bytes, counters.rx_dropped, counters.tx_dropped) == (1200, 1, 1)

    budget.set_quota(100)  # a new day
    assert exchange(bench, wire, client, [100, 100]) == 1
    assert bench.wait(QuotaExceeded).session == session
    budget.set_quota(None)
    assert exchange(bench, wire, client, [1000] * 5) == 5
    assert budget.quota_left() is None


def test_packets_that_reach_nobody_use_no_quota(bench, wire):
    budget = bench.gateway.new_budget()
    budget.set_quota(1000)
    client, session = bench.tunnel(limits=TunnelLimits(budgets=(budget,)))
    client.reset()
    for _ in range(4):
        bench.tun[0].send(wire.ipv4(wire.outside4, wire.own4, b"d" * 380))
    while bench.gateway.counters(session).tx_dropped + bench.gateway.counters(session).tx_packets < 4:
        bench.settle()
    bench.settle()  # the last one may be counted in part
    counters = bench.gateway.counters(session)
    assert budget.quota_left() == 1000 - counters.tx_bytes


def test_a_session_has_a_bucket_of_its_own_beside_the_quota_of_its_user(bench, wire):
    own, shared = bench.gateway.new_budget(), bench.gateway.new_budget()
    own.set_rates(SLOW, 0)
    shared.set_quota(BURST // 2)
    client, _ = bench.tunnel(limits=TunnelLimits(budgets=(own, shared)))
    assert exchange(bench, wire, client, [1024] * 40) == 32
    shared.set_quota(10 * BURST)
    assert exchange(bench, wire, client, [1024] * 40) == 32 - 8  # refused packets had used tokens, too


def test_budgets_outlive_their_sessions_and_sessions_their_budgets(bench, wire):
    budget = bench.gateway.new_budget()
    budget.set_quota(1 << 40)
    client, session = bench.tunnel(limits=TunnelLimits(budgets=(budget,)))
    bench.gateway.close_session(session, b"")
    bench.wait(SessionClosed)
    assert budget.quota_left() == 1 << 40
    budget = bench.gateway.new_budget()
    budget.set_rates(1 << 62, 1 << 62)
    client, session = bench.tunnel(limits=TunnelLimits(budgets=(budget,)))
    del budget
    assert exchange(bench, wire, client, [1024] * 3) == 3


def test_workers_share_a_budget_while_it_changes(start, wire):
    bench = start(workers=2)
    budget = bench.gateway.new_budget()
    limits = TunnelLimits(budgets=(budget,))
    tunnels = {}  # by worker: the kernel chooses it by the client's port
    host = 10
    while len(tunnels) < 2:
        own = ip_address(f"192.168.99.{host}")
        client, session = bench.tunnel(ipv4=own, ipv6=None, limits=limits)
        tunnels.setdefault(session & 0xFF, (client, session, own))
        host += 1
    rounds = 200
    for number in range(rounds):
        for client, session, own in tunnels.values():
            send_up(bench, wire, client, 200, own)
            bench.gateway.limit(session, limits)
        budget.set_rates(1_000_000 + number, number)
        budget.set_quota(number * 100)
    budget.set_quota(None)
    for _, session, _ in tunnels.values():
        while (counters := bench.gateway.counters(session)).rx_packets + counters.rx_dropped < rounds:
            bench.settle()
        bench.settle()  # the last one may be counted in part
        counters = bench.gateway.counters(session)
        assert counters.rx_bytes == 200 * counters.rx_packets
