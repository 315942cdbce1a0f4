# SPDX-License-Identifier: GPL-3.0-or-later
"""Network impairment: a router between a host and the gateway that drops, duplicates and reorders UDP packets.

    host ── eth0 ── near ┐ router ┌ far ──── vN ── gateway
                         └  imp0  ┘  UDP passes through this process, all other traffic through the kernel only

Not every kernel has netem. A TUN device and two policy routes do the same. Packets keep their checksums and segments.
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

from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    from lab.namespaces import Namespace

_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
UDP = str(socket.IPPROTO_UDP)  # by number: a minimal Debian has no /etc/protocols
_TABLE = 77  # routing table for packets towards this process
_MAX_PACKET = 65_535
_MAX_CAPTURED = 64  # packets


@dataclass(frozen=True, slots=True)
class Impairment:
    """Probabilities per packet, 0 to 1. ``reorder_extent`` later packets overtake a reordered one (RFC 4737)."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_extent: int = 5


NONE = Impairment()


def open_tun(router: Namespace) -> int:
    """The descriptor of a new TUN device ``imp0`` of the router. Reads do not wait."""
    with router.entered():
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"imp0", _IFF_TUN_NO_PI))
    router.ip("link set imp0 txqueuelen 10000 up")
    return device


class ImpairedLink:
    """Forwards packets through one TUN device and applies ``impairment``, which may change at any time."""

    def __init__(self, router: Namespace, *, seed: int = 1) -> None:
        self.impairment = NONE
        self.packets = self.dropped = 0
        self.captured: list[bytes] = []  # the first IP packets that passed
        self._chance = random.Random(seed)
        self._delayed: list[tuple[int, bytes]] = []  # number of packets after which it is sent, packet
        self._device = open_tun(router)
        for family in "-4", "-6":
            router.run("ip", family, "rule", "add", "pref", "10", "iif", "imp0", "lookup", "main")
            router.run("ip", family, "rule", "add", "pref", "20", "ipproto", UDP, "lookup", str(_TABLE))
            router.run("ip", family, "route", "add", "default", "dev", "imp0", "table", str(_TABLE))
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._forward, name="impaired link", daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.close(self._stop_write)
        self._thread.join(TIMEOUT)
        os.close(self._stop_read)
        os.close(self._device)

    def _forward(self) -> None:
        while self._stop_read not in select.select([self._device, self._stop_read], [], [], 0.05)[0]:
            while True:
                try:
                    packet = os.read(self._device, _MAX_PACKET)
                except BlockingIOError:
                    break
                self._impair(packet)
            if self._delayed and not self.impairment.reorder:
                self._send_delayed(everything=True)

    def _impair(self, packet: bytes) -> None:
        now, chance = self.impairment, self._chance.random
        self.packets += 1
        if len(self.captured) < _MAX_CAPTURED:
            self.captured.append(packet)
        if now.loss and chance() < now.loss:
            self.dropped += 1
        elif now.reorder and chance() < now.reorder:
            self._delayed.append((self.packets + now.reorder_extent, packet))
        else:
            self._send(packet)
            if now.duplicate and chance() < now.duplicate:
                self._send(packet)
        if self._delayed:
            self._send_delayed()

    def _send_delayed(self, *, everything: bool = False) -> None:
        while self._delayed and (everything or self._delayed[0][0] <= self.packets):
            self._send(self._delayed.pop(0)[1])

    def _send(self, packet: bytes) -> None:
        try:
            os.write(self._device, packet)
        except OSError:
            self.dropped += 1  # an interface is down at the moment
