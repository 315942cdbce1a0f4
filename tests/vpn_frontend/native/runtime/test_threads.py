# SPDX-License-Identifier: GPL-3.0-or-later
"""Many workers at once: sessions that migrate, packets in transit, readers of counters. At the end all counts agree."""

from __future__ import annotations

import random
import threading
import time
from ipaddress import IPv4Address

import pytest

from lab.timeouts import TIMEOUT
from vpn_frontend.gateway.interface import ChannelDown, ChannelUp, ConnectionClosed, SessionClosed

WORKERS = 4
SESSIONS = 12
ROUNDS = 6
PACKETS = 20


def enter(bench):
    """A client and its ``ConnectionUp``. Tries again while the gateway has not seen others leave."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            return bench.connected()
        except OSError:
            assert time.monotonic() < deadline, "no place comes back"


class Tunnel:
    """One session's client, what it sent, and the events of its connections."""

    def __init__(self, bench, number):
        self.address = IPv4Address("192.168.99.10") + number
        self.client, up = enter(bench)
        self.id = bench.gateway.open_session(up.connection_id, bench.parameters(ipv4=self.address, ipv6=None))
        self.sent = self.received = 0
        self.attach(bench, up)

    def attach(self, bench, up):
        bench.gateway.attach(self.id, up.connection_id, b"HELLO", b"")
        assert self.client.read(5) == b"HELLO"
        bench.wait(ChannelUp, lambda event: event.connection_id == up.connection_id)

    def roam(self, bench):
        old = self.client
        self.client, up = bench.connected()
        self.attach(bench, up)
        assert old.read_frame()[0] == 5  # DISCONNECT: replaced
        assert old.at_end()


@pytest.fixture
def poller():
    """A thread that reads counters all the while."""
    stop, threads = threading.Event(), []

    def begin(read):
        def loop():
            while not stop.is_set():
                read()

        threads.append(threading.Thread(target=loop))
        threads[-1].start()

    yield begin
    stop.set()
    for thread in threads:
        thread.join()


def test_roaming_sessions_of_many_workers_lose_and_double_nothing(start, wire, poller):
    bench = start(workers=WORKERS)
    chance = random.Random(7)
    tunnels = [Tunnel(bench, number) for number in range(SESSIONS)]
    ids = [tunnel.id for tunnel in tunnels]
    bench.settle()
    poller(lambda: [bench.gateway.stats(), *map(bench.gateway.counters, ids)])
    assert len({tunnel.id & 0xFF for tunnel in tunnels}) > 1
    for _ in range(ROUNDS):
        for tunnel in chance.sample(tunnels, SESSIONS // 2):
            tunnel.roam(bench)
        for _ in range(PACKETS):
            for tunnel in tunnels:
                up = wire.ipv4(tunnel.address, wire.outside4, chance.randbytes(chance.randrange(1300)))
                tunnel.client.send(wire.frame(wire.data, up))
                assert bench.tun[tunnel.id & 0xFF].recv(65536) == up
                tunnel.sent += len(up)
                down = wire.ipv4(wire.outside4, tunnel.address, chance.randbytes(chance.randrange(1300)))
                chance.choice(bench.tun).send(down)  # the queue of whichever worker
                assert tunnel.client.read_frame() == (wire.data, down)
                tunnel.received += len(down)
    for tunnel in tunnels:
        live = bench.gateway.counters(tunnel.id)
        assert (live.rx_bytes, live.tx_bytes) == (tunnel.sent, tunnel.received)
        assert (live.rx_packets, live.tx_packets) == (ROUNDS * PACKETS, ROUNDS * PACKETS)
        assert (live.rx_dropped, live.tx_dropped) == (0, 0)
    assert not [event for event in bench.seen if isinstance(event, ChannelDown)]


def test_everything_ends_at_once_and_every_place_comes_back(start, wire):
    bench = start(workers=WORKERS, max_sessions=SESSIONS, max_connections=2 * SESSIONS)
    for _ in range(3):
        tunnels = [Tunnel(bench, number) for number in range(SESSIONS)]
        rivals = [enter(bench) for _ in range(SESSIONS)]
        for tunnel, (_, up) in zip(tunnels, rivals, strict=True):
            bench.gateway.attach(tunnel.id, up.connection_id, b"HELLO", b"")  # races its end
            bench.gateway.close_session(tunnel.id, wire.frame(wire.disconnect, b"\x01over"))
        for tunnel in tunnels:
            bench.wait(SessionClosed, lambda event, id_=tunnel.id: event.session == id_)
        for tunnel, (rival, up) in zip(tunnels, rivals, strict=True):
            tunnel.client.close()
            rival.close()
            # Either it had become the channel, or it was closed because it came too late.
            bench.wait(
                (ChannelUp, ConnectionClosed),
                lambda event, connection_id=up.connection_id: event.connection_id == connection_id,
            )


@pytest.mark.parametrize("attempt", range(3))
def test_closing_in_the_middle_of_everything_is_clean(start, wire, attempt):
    bench = start(workers=WORKERS)
    tunnels = [Tunnel(bench, number) for number in range(SESSIONS)]
    for tunnel in tunnels:
        tunnel.client.send(wire.frame(wire.data, wire.ipv4(tunnel.address, wire.outside4)) * 50)
        for queue in bench.tun:
            queue.send(wire.ipv4(wire.outside4, tunnel.address))
    late = bench.client()
    bench.gateway.close()
    assert late.at_end()
