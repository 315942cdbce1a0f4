# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP through a tunnel with a bandwidth limit reaches the limit and does not pass it, over TLS and DTLS.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve` with `[vpn.bandwidth]`
"""

from __future__ import annotations

import threading
import time

import pytest

from lab.server import INNER_IPV4
from lab.timeouts import TIMEOUT
from lab.traffic.transfer import listen

RATE = 1_250_000  # bytes per second: 10 Mbit/s
WARM_UP, SECONDS = 1.0, 4.0
PAYLOAD = 0.96  # of a packet of 1400 bytes, the rest is headers of IP and TCP
BURST = 0.25 / SECONDS  # what a full bucket adds
TRIES = 3  # one must pass: other load can only make TCP slower


def received(source, sink, address):
    """Returns bytes per second that a greedy TCP sender gets through, as a part of the limit."""
    done = threading.Event()

    def send():
        block = bytes(65536)
        try:
            with source.connect(listener.getsockname()[:2], timeout=TIMEOUT) as stream:
                while not done.is_set():
                    stream.sendall(block)
        except ConnectionError:
            pass  # the receiver has seen enough

    with listen(sink, address) as listener:
        sender = threading.Thread(target=send, name="sender")
        sender.start()
        stream, _ = listener.accept()
        with stream:
            stream.settimeout(TIMEOUT)
            began, total, buffer = time.monotonic() + WARM_UP, 0, bytearray(1 << 20)
            while (now := time.monotonic()) < began + SECONDS:
                count = stream.recv_into(buffer)
                total += count if now >= began else 0
        done.set()
        sender.join(TIMEOUT)
    return total / (now - began) / RATE


@pytest.mark.parametrize("transport", ["tls", "dtls"])
def test_tcp_reaches_the_limit_of_each_direction(lab, transport):
    limits = {"from_client": RATE, "to_client": RATE}
    server = lab.serve(settings={"vpn": {"dtls": transport == "dtls"}, "vpn.bandwidth": limits})
    host, gateway = lab.host(), lab.network.gateway
    client = server.connect(host, dtls=transport == "dtls")
    inside = client.await_up()
    server.await_transport(transport)
    ways = {"up": (host.namespace, gateway, INNER_IPV4), "down": (gateway, host.namespace, inside.ipv4)}
    for way, ends in ways.items():
        reached = []
        while not reached or (reached[-1] < 0.95 * PAYLOAD and len(reached) < TRIES):
            reached.append(received(*ends))
        assert 0.95 * PAYLOAD <= reached[-1] <= 1.0 + BURST, (way, reached)
    [session] = server.sessions()
    assert session["counters"]["rx_dropped"]
    assert session["counters"]["tx_dropped"]
