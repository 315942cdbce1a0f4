# SPDX-License-Identifier: GPL-3.0-or-later
"""A router whose IPv4 packets all pass through this process, which delays or drops those of chosen pairs of machines.

    machine ── n0 ┐ router ┌ n1 ── machine
                  └  imp0  ┘

Not every kernel has netem. TCP sees what it would see of a slow or lossy network: it retransmits by its own clock.
"""

from __future__ import annotations

import heapq
import os
import random
import select
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.timeouts import TIMEOUT
from lab.traffic.impairment import open_tun

if TYPE_CHECKING:
    from lab.namespaces import Namespace

_TABLE = 77  # routing table for packets towards this process
_MAX_PACKET = 65_535
_LOOK = 0.05  # seconds between two looks whether to end


@dataclass(frozen=True, slots=True)
class Way:
    """What befalls packets of one direction. ``delay``: seconds. ``loss``: probability, 1 drops all."""

    delay: float = 0.0
    loss: float = 0.0


CLEAR, CUT = Way(), Way(loss=1.0)


class PacketRouter:
    """``add`` machines, then set the way of a pair, at any time. ``close`` ends the forwarding."""

    def __init__(self, router: Namespace, *, seed: int = 1) -> None:
        self._router = router
        self._chance = random.Random(seed)
        self._ways: dict[bytes, Way] = {}  # by source and destination, as in a packet
        self._late: list[tuple[float, int, bytes]] = []  # when it is sent, a number for equal times, packet
        self.delayed = self.dropped = 0
        self._links = 0
        self._device = open_tun(router)
        router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        router.run("ip", "rule", "add", "pref", "10", "iif", "imp0", "lookup", "main")
        router.ip(f"route add default dev imp0 table {_TABLE}")
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._forward, name="packet router", daemon=True)
        self._thread.start()

    def add(self, machine: Namespace, ipv4: str, device: str, networks: str) -> None:
        """Give a machine the address, on a new device by which it reaches ``networks``."""
        near = f"n{self._links}"
        self._links += 1
        self._router.ip(f"link add {near} type veth peer name {device} netns {machine.name}", f"link set {near} up")
        machine.ip(
            f"addr add {ipv4}/32 dev {device}",
            f"link set {device} up",
            "route add 169.254.1.1 dev " + device,
            f"route add {networks} via 169.254.1.1 dev {device} src {ipv4}",
        )
        self._router.run("sysctl", "-qw", f"net.ipv4.conf.{near}.proxy_arp=1")
        self._router.ip(
            f"addr add 169.254.1.1/32 dev {near}",
            f"route add {ipv4} dev {near}",
            f"rule add pref 20 iif {near} lookup {_TABLE}",
        )

    def set(self, source: str, destination: str, way: Way) -> None:
        """From now on, for packets of this direction."""
        self._ways[socket.inet_aton(source) + socket.inet_aton(destination)] = way

    def close(self) -> None:
        os.close(self._stop_write)
        self._thread.join(TIMEOUT)
        os.close(self._stop_read)
        os.close(self._device)

    def _forward(self) -> None:
        while self._stop_read not in select.select([self._device, self._stop_read], [], [], self._pause())[0]:
            with suppress(BlockingIOError):
                while True:
                    self._pass(os.read(self._device, _MAX_PACKET))
            now = time.monotonic()
            while self._late and self._late[0][0] <= now:
                self._send(heapq.heappop(self._late)[2])

    def _pause(self) -> float:
        return max(0.0, min(_LOOK, self._late[0][0] - time.monotonic())) if self._late else _LOOK

    def _pass(self, packet: bytes) -> None:
        way = self._ways.get(packet[12:20], CLEAR)
        if way.loss and self._chance.random() < way.loss:
            self.dropped += 1
        elif way.delay:
            self.delayed += 1
            heapq.heappush(self._late, (time.monotonic() + way.delay, self.delayed, packet))
        else:
            self._send(packet)

    def _send(self, packet: bytes) -> None:
        try:
            os.write(self._device, packet)
        except OSError:
            self.dropped += 1  # an interface is down at the moment
