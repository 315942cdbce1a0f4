# SPDX-License-Identifier: GPL-3.0-or-later
"""A greedy or stalled client harms no other: queues are per session and bounded, and busy sessions take turns.

All on one worker, which is one thread: stalled, greedy and moderate clients --TLS--> worker --"TUN" socket pair--> test
"""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from ipaddress import IPv4Address

import pytest

from vpn_frontend.gateway.interface import ConnectionUp

MODERATE = 200  # packets that each other client must receive
HOARDED = 40_000  # packets of the greedy one, 53 MB: some 400 turns of 128 KiB (GW_INPUT_SIZE)
TURNS = 5  # of another client meanwhile, at least; an idle machine gives hundreds
FIRST = IPv4Address("192.168.99.10")


class Sharers:
    """Tunnels of one worker, by number."""

    def __init__(self, bench, count):
        self.bench, self.addresses = bench, [FIRST + number for number in range(count)]
        self.tunnels = [bench.tunnel(ipv4=address, ipv6=None) for address in self.addresses]

    def client(self, number):
        return self.tunnels[number][0]

    def counters(self, number):
        return self.bench.gateway.counters(self.tunnels[number][1])


@pytest.fixture
def sharers(start):
    return Sharers(start(workers=1, write_timeout=600.0), 3)  # no connection ends as stalled


def test_a_stalled_reader_fills_its_own_queue_and_the_others_get_everything(sharers, wire):
    """Far more is sent to the stalled one than its socket and its queue hold together."""
    tun, sent = sharers.bench.tun[0], 0
    ballast = bytes(1300)
    for number in range(MODERATE):
        for _ in range(50):
            tun.send(wire.ipv4(wire.outside4, sharers.addresses[0], ballast))
            sent += 1
        for other in (1, 2):
            packet = wire.ipv4(wire.outside4, sharers.addresses[other], number.to_bytes(4))
            tun.send(packet)
            assert sharers.client(other).read_frame() == (wire.data, packet)
    assert sharers.bench.wait_stat("tx_queue_full") > 0
    stalled = sharers.counters(0)
    assert stalled.tx_dropped == sharers.bench.gateway.stats()["tx_queue_full"]
    assert stalled.tx_packets + stalled.tx_dropped == sent
    for other in (1, 2):
        assert (sharers.counters(other).tx_packets, sharers.counters(other).tx_dropped) == (MODERATE, 0)
    for _ in range(stalled.tx_packets):  # what was taken for it is still whole, once it reads again
        assert sharers.client(0).read_frame()[0] == wire.data


class Hoard:
    """A client that has encrypted all it will ever send, so that only the kernel's speed limits its sending."""

    def __init__(self, bench, wire):
        self._raw = socket.create_connection(("127.0.0.1", bench.port), timeout=wire.patience)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        self._until_done(self._tls.do_handshake)
        self._tls.write(b"x")
        self._send_sealed()
        up = bench.wait(ConnectionUp)
        self.session = bench.gateway.open_session(up.connection_id, bench.parameters())
        bench.gateway.attach(self.session, up.connection_id, b"HELLO", b"")
        assert self._until_done(lambda: self._tls.read(5)) == b"HELLO"

    def _until_done(self, step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._send_sealed()
                self._incoming.write(self._raw.recv(65536))
            finally:
                self._send_sealed()

    def _send_sealed(self):
        if self._outgoing.pending:
            self._raw.sendall(self._outgoing.read())

    def sealed(self, frames):
        for frame in frames:
            self._tls.write(frame)
        return self._outgoing.read()

    def pour(self, data):
        """A thread that sends it all and is alive until the kernel has taken the last of it, or ``close``."""

        def send():
            with suppress(OSError):
                self._raw.sendall(data)

        thread = threading.Thread(target=send)
        thread.start()
        return thread

    def close(self):
        self._raw.shutdown(socket.SHUT_RDWR)
        self._raw.close()


def test_a_greedy_sender_lets_the_others_have_their_turns(bench, wire):
    polite, _ = bench.tunnel(ipv4=wire.other4, ipv6=None)
    greedy = Hoard(bench, wire)
    packet = wire.frame(wire.data, wire.ipv4(wire.own4, wire.outside4, bytes(1300)))
    pouring = greedy.pour(greedy.sealed([packet] * HOARDED))
    for turn in range(TURNS):
        polite.send(wire.frame(wire.dpd_request, turn.to_bytes(4)))
        assert polite.read_frame() == (wire.dpd_response, turn.to_bytes(4))
    busy = pouring.is_alive()
    greedy.close()
    pouring.join()
    assert busy
