# SPDX-License-Identifier: GPL-3.0-or-later
"""A flood of datagrams on the DTLS port beside real users: the tunnels that ping, and one that logs in meanwhile.

OCSENTRY_HOSTILE_FLOOD_SECONDS: how long it lasts.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

from lab.clients.cstp_client import Tunnel, open_tunnel
from lab.timeouts import STRICT
from tests.hostile.test_dtls import PSK, SILENT, answers, hello, message, name_of, record, udp

SECONDS = float(os.environ.get("OCSENTRY_HOSTILE_FLOOD_SECONDS", "2"))
RATE = 20_000  # datagrams per second, of both senders together, where the machine can
BATCH = 100
SLOWER = 0.005  # seconds by which the 99th percentile of the round trips may rise, on an idle machine


def send(port, datagrams, ends, began) -> int:
    """Sends at half of ``RATE`` until ``ends`` is set. Returns the bytes that were sent."""
    sent = 0
    for number, datagram in enumerate(cycle(datagrams)):
        if number % BATCH == 0 and ends.wait(max(0.0, began + number / (RATE / 2) - time.monotonic())):
            break
        sent += port.send(datagram)
    return sent


def percentile99(values):
    return sorted(values)[len(values) * 99 // 100]


def test_a_flood_of_datagrams_beside_real_users(arena, record_property):
    """Hellos that name nobody, hellos that name a live session, and what is no hello. None gets more than it sends."""
    ends = threading.Event()
    with arena.tunnel(PSK) as named, udp(arena) as first, udp(arena) as second, ThreadPoolExecutor(2) as pool:
        unknown = [record(message(hello(name=number.to_bytes(32, "big")))) for number in range(1000)]
        known = [record(message(hello(name=name_of(named), random_bytes=bytes([n]) * 32))) for n in range(1, 200)]
        before = arena.round_trips(0.0)
        began = time.monotonic()
        flows = [(first, [*unknown, *SILENT.values()]), (second, known)]
        sending = [pool.submit(send, port, [d for d in datagrams if d], ends, began) for port, datagrams in flows]
        try:
            while time.monotonic() < began + SECONDS:
                tunnel = open_tunnel(arena.attacker, arena.cookie())
                assert isinstance(tunnel, Tunnel), tunnel
                assert tunnel.answers()
                tunnel.disconnect()
                assert named.answers()
        finally:
            ends.set()
        for (port, _), flow in zip(flows, sending, strict=True):
            received = sum(map(len, answers(port)))
            assert received <= flow.result()
        beside = arena.round_trips(began)
        record_property("round trips, 99th percentile, ms", [1e3 * percentile99(trips) for trips in (before, beside)])
        record_property("bytes sent", [flow.result() for flow in sending])
        assert not STRICT or percentile99(beside) <= percentile99(before) + SLOWER
