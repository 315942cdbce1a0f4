# SPDX-License-Identifier: GPL-3.0-or-later
"""Offloads on or off, the same bytes: our merging and splitting beside the kernel's own, over any traffic.

    test --write--> [ocsin0] --forwarding--> [ocsout0] --read--> test       a network namespace of its own

What is merged before ``ocsin0`` the kernel takes apart for an ``ocsout0`` without offloads, and what ``ocsout0`` with
offloads hands over whole we take apart.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpn_frontend.native.inner_packets import CWR, by_flow, make_trace, segment, stream, udp
from vpn_frontend.gateway.tun import open_queues

CLONE_NEWNET = 0x40000000
TUNSETOFFLOAD = 0x400454D0  # linux/if_tun.h
TUN_F_ALL = 0x01 | 0x02 | 0x04 | 0x08 | 0x20 | 0x40  # checksums, TSO4, TSO6, ECN with them, USO4, USO6
GSO_ECN = 0x80  # linux/virtio_net.h
TCP_FLAGS = 13
LAST = udp(b"the last one", flow=99)
SET_UP = """
link set ocsin0 addrgenmode none mtu 1400 up
link set ocsout0 addrgenmode none mtu 1400 txqlen 10000 up
route add default dev ocsout0
route add ::/0 dev ocsout0
"""
FORWARDING = {
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/ocsin0/rp_filter": "0",
    "ipv4/conf/ocsin0/forwarding": "1",
    "ipv4/conf/ocsout0/forwarding": "1",
    "ipv6/conf/all/forwarding": "1",
}


class Road:
    """Two TUN devices with forwarding between them, in a namespace that lives as long as they do."""

    def __init__(self):
        failures = []
        thread = threading.Thread(target=self._build, args=(failures,))
        thread.start()  # a thread, because a namespace is a thread's own
        thread.join()
        if failures:
            raise failures[0]

    def _build(self, failures):
        try:
            assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
            (self._inlet,), (self._outlet,) = open_queues("ocsin0", 1), open_queues("ocsout0", 1)
            subprocess.run(["ip", "-batch", "-"], input=SET_UP, text=True, check=True)
            for name, value in FORWARDING.items():
                Path("/proc/sys/net", name).write_text(value)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            failures.append(error)

    def close(self):
        os.close(self._inlet)
        os.close(self._outlet)

    def carry(self, sent, *, offloads):
        """Writes [(header, packet)] and gives [(header, packet)] as they come out, with large ones if ``offloads``."""
        fcntl.ioctl(self._inlet, TUNSETOFFLOAD, TUN_F_ALL)
        fcntl.ioctl(self._outlet, TUNSETOFFLOAD, TUN_F_ALL if offloads else 0)
        for header, packet in [*sent, (bytes(10), LAST)]:
            try:
                os.write(self._inlet, header + packet)
            except OSError:
                assert header == bytes(10)  # the kernel may refuse what is damaged, not what we made
        seen = []
        while True:
            assert select.select([self._outlet], [], [], 60.0)[0], "the last packet did not come through"
            read = os.read(self._outlet, 10 + 65535)
            if read[-len(b"the last one") :] == b"the last one":
                return seen
            if read[10] >> 4 == 4 or read[18:20] == b"\xfd\x00":  # and not what the kernel says by itself
                seen.append((read[:10], read[10:]))


@pytest.fixture(scope="module")
def road():
    road = Road()
    yield road
    road.close()


def take_apart(offloads, packets):
    """The packets that the gateway sends to the client for the packets of a queue."""
    result = []
    for header, packet in packets:
        result += offloads.split(header, packet) if header[1] else [offloads.complete(header, packet)]
    return result


def come_through(offloads, road, packets):
    """The same trace in the four ways, each by flow."""
    small, large = [(bytes(10), packet) for packet in packets], offloads.merge(packets)
    return {
        "none": by_flow(packet for _, packet in road.carry(small, offloads=False)),
        "merged": by_flow(packet for _, packet in road.carry(large, offloads=False)),
        "split": by_flow(take_apart(offloads, road.carry(small, offloads=True))),
        "merged and split": by_flow(take_apart(offloads, road.carry(large, offloads=True))),
    }


@pytest.mark.netns
@settings(max_examples=400, deadline=None)
@given(st.lists(segment, max_size=60))
def test_any_traffic_comes_through_alike(offloads, road, plan):
    packets = make_trace(plan)
    ways = come_through(offloads, road, packets)
    assert ways["merged"] == ways["none"]
    assert ways["split"] == ways["none"]
    assert ways["merged and split"] == ways["none"]


@pytest.mark.netns
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_the_kernel_takes_and_gives_large_packets(offloads, road, kind, version):
    packets = stream(30, 1333, last=5, version=version)
    if kind == "udp":
        packets = [udp(b"d" * 1001, version=version, ident=n) for n in range(30)]
    large = offloads.merge(packets)
    assert len(large) == 1
    through = road.carry(large, offloads=True)
    assert len(through) == 1
    assert struct.unpack("=BB", through[0][0][:2])[1] == large[0][0][1]
    ways = come_through(offloads, road, packets)
    assert ways["merged"] == ways["split"] == ways["merged and split"] == ways["none"]
    assert sum(map(len, ways["none"].values())) == 30


@pytest.mark.netns
@pytest.mark.parametrize(("version", "start"), [(4, 20), (6, 40)])
def test_a_reduced_window_is_said_once(offloads, road, version, start):
    """A large packet with CWR, as a local sender makes it after congestion: RFC 3168 section 6.1.2."""
    [(header, packet)] = offloads.merge(stream(30, 1333, version=version))
    header = header[:1] + bytes([header[1] | GSO_ECN]) + header[2:]
    flags = start + TCP_FLAGS
    packet = packet[:flags] + bytes([packet[flags] | CWR]) + packet[flags + 1 :]
    by_kernel = [small for _, small in road.carry([(header, packet)], offloads=False)]
    assert [bool(small[flags] & CWR) for small in by_kernel] == [True] + 29 * [False]
    through = road.carry([(header, packet)], offloads=True)
    assert len(through) == 1
    assert take_apart(offloads, through) == by_kernel
