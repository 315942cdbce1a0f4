# SPDX-License-Identifier: GPL-3.0-or-later
"""A router between a host and the gateway that loses, doubles and reorders UDP packets, and can lose them all.

    host ── eth0 ── near ┐ router ┌ far ──── vN ── gateway
                         └ rough0 ┘  UDP takes the way through this process, everything else the kernel's

Not every kernel has netem; a TUN device and two policy routes do the same, in front of checksums and segmentation.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import socket
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.patience import PATIENCE

if TYPE_CHECKING:
    from lab.namespaces import Namespace

_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
UDP = str(socket.IPPROTO_UDP)  # by number: a bare Debian has no /etc/protocols to look a name up in
_TABLE = 77  # routing table of the packets on their way to this process
_MAX_PACKET = 65_535
_MAX_KEPT = 64


@dataclass(frozen=True, slots=True)
class Roughness:
    """Parts of all packets, 0 to 1. A reordered packet is overtaken by ``overtakers`` others."""

    lost: float = 0.0
    doubled: float = 0.0
    reordered: float = 0.0
    overtakers: int = 5


SMOOTH = Roughness()


class RoughRoad:
    """Packets through one TUN device, treated as ``roughness`` says at the moment."""

    def __init__(self, router: Namespace, *, seed: int = 1) -> None:
        self.roughness = SMOOTH
        self.seen = self.dropped = 0
        self.first: list[bytes] = []  # the first IP packets that passed
        self._chance = random.Random(seed)
        self._late: list[tuple[int, bytes]] = []  # packet number after which it goes on, packet
        with router.entered():
            self._device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self._device, _TUNSETIFF, struct.pack("16sH22x", b"rough0", _IFF_TUN_NO_PI))
        router.ip("link set rough0 txqueuelen 10000 up")
        for family in "-4", "-6":
            router.run("ip", family, "rule", "add", "pref", "10", "iif", "rough0", "lookup", "main")
            router.run("ip", family, "rule", "add", "pref", "20", "ipproto", UDP, "lookup", str(_TABLE))
            router.run("ip", family, "route", "add", "default", "dev", "rough0", "table", str(_TABLE))
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._carry, name="rough road", daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.close(self._stop_write)
        self._thread.join(PATIENCE)
        os.close(self._stop_read)
        os.close(self._device)

    def _carry(self) -> None:
        while self._stop_read not in select.select([self._device, self._stop_read], [], [], 0.05)[0]:
            while True:
                try:
                    packet = os.read(self._device, _MAX_PACKET)
                except BlockingIOError:
                    break
                self._take(packet)
            if self._late and not self.roughness.reordered:
                self._release(everything=True)

    def _take(self, packet: bytes) -> None:
        rough, chance = self.roughness, self._chance.random
        self.seen += 1
        if len(self.first) < _MAX_KEPT:
            self.first.append(packet)
        if rough.lost and chance() < rough.lost:
            self.dropped += 1
        elif rough.reordered and chance() < rough.reordered:
            self._late.append((self.seen + rough.overtakers, packet))
        else:
            self._put(packet)
            if rough.doubled and chance() < rough.doubled:
                self._put(packet)
        if self._late:
            self._release()

    def _release(self, *, everything: bool = False) -> None:
        while self._late and (everything or self._late[0][0] <= self.seen):
            self._put(self._late.pop(0)[1])

    def _put(self, packet: bytes) -> None:
        try:
            os.write(self._device, packet)
        except OSError:
            self.dropped += 1  # a host's interface is down for the moment
