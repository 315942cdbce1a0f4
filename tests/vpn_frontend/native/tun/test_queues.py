# SPDX-License-Identifier: GPL-3.0-or-later
"""Two TUN queues of a worker: packets of busy sessions take the second, so answers to calm ones do not wait behind."""

from __future__ import annotations

import select
import time
from ipaddress import IPv4Address

CALM4 = IPv4Address("192.168.99.9")
AGAIN = 0.1  # seconds without a packet
BURST = 2000  # packets of one send: many more than make a worker busy


def drain(tun):
    """What waits in a queue."""
    packets = []
    tun.setblocking(False)
    try:
        while True:
            packets.append(tun.recv(65536))
    except BlockingIOError:
        return packets


def upload_until_busy(bench, client, frames, patience):
    """Sends bursts until packets come out of the second queue, and empties both."""
    deadline = time.monotonic() + patience
    while True:
        assert time.monotonic() < deadline, "no packet came over the second queue"
        client.send(frames)
        drain(bench.tun[0])
        if drain(bench.tun[1]):
            return


def ask(bench, client, wire, question, patience):
    """The queue over which ``question`` leaves. It is asked again where a full queue may have dropped it."""
    deadline = time.monotonic() + patience
    client.send(wire.frame(wire.data, question))
    while time.monotonic() < deadline:
        for queue, tun in enumerate(bench.tun):
            if question in drain(tun):
                return queue
        if not select.select(bench.tun, [], [], AGAIN)[0]:
            client.send(wire.frame(wire.data, question))
    raise AssertionError("the question did not leave")


def test_a_busy_session_takes_the_second_queue_and_a_calm_one_the_first(start, wire):
    bench = start(queues=2)
    busy, _ = bench.tunnel()
    calm, _ = bench.tunnel(ipv4=CALM4, ipv6=None)
    assert ask(bench, busy, wire, wire.ipv4(wire.own4, wire.outside4, b"first"), wire.patience) == 0
    upload_until_busy(bench, busy, wire.frame(wire.data, wire.ipv4(wire.own4, wire.outside4)) * BURST, wire.patience)
    assert ask(bench, calm, wire, wire.ipv4(CALM4, wire.outside4, b"calm"), wire.patience) == 0


def test_answers_of_both_queues_reach_their_clients(start, wire):
    bench = start(queues=2)
    client, _ = bench.tunnel()
    for tun in bench.tun:
        packet = wire.ipv4(wire.outside4, wire.own4)
        tun.send(packet)
        assert client.read_frame() == (wire.data, packet)


def test_a_session_that_was_busy_is_calm_again(start, wire):
    bench = start(queues=2)
    client, _ = bench.tunnel()
    upload_until_busy(bench, client, wire.frame(wire.data, wire.ipv4(wire.own4, wire.outside4)) * BURST, wire.patience)
    deadline = time.monotonic() + wire.patience
    while True:
        assert time.monotonic() < deadline, "it stays busy"
        while select.select(bench.tun, [], [], AGAIN)[0]:  # asked without a rest, the questions alone keep it busy
            drain(bench.tun[0])
            drain(bench.tun[1])
        if ask(bench, client, wire, wire.ipv4(wire.own4, wire.outside4, b"later"), wire.patience) == 0:
            return
