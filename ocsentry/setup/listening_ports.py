# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses a port that cannot be bound: this server, or another program. Reads /proc; needs root for other users."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
TABLES = {socket.SOCK_STREAM: ("tcp", "tcp6"), socket.SOCK_DGRAM: ("udp", "udp6")}
LISTENING = "0A"  # state of a TCP socket in /proc/net/tcp
LINK = "socket:["


def uses_port(process: int, kind: socket.SocketKind, port: int) -> bool:
    """True if ``process`` has a socket that listens on ``port``. Raises ``OSError`` if its files cannot be seen."""
    return not sockets_on_port(kind, port).isdisjoint(_sockets_of(process))


def sockets_on_port(kind: socket.SocketKind, port: int) -> set[int]:
    """Returns the inodes of the sockets bound to ``port`` at any address; of TCP only those that listen."""
    found = set()
    for name in TABLES[kind]:
        try:
            lines = (PROC / "net" / name).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for line in lines:
            fields = line.split()
            local, state, inode = fields[1], fields[3], int(fields[9])
            if int(local.rpartition(":")[2], 16) == port and (kind is socket.SOCK_DGRAM or state == LISTENING):
                found.add(inode)
    return found


def _sockets_of(process: int) -> set[int]:
    found = set()
    for file in (PROC / str(process) / "fd").iterdir():
        try:
            target = str(file.readlink())
        except FileNotFoundError:
            continue  # closed meanwhile
        if target.startswith(LINK):
            found.add(int(target.removeprefix(LINK).rstrip("]")))
    return found


class Owner(NamedTuple):
    process: int
    name: str


def find_owner(kind: socket.SocketKind, port: int) -> Owner | None:
    """Returns a process with a socket on ``port``. Root sees all processes, another user its own."""
    wanted = sockets_on_port(kind, port)
    for place in PROC.iterdir():
        if not place.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if not wanted.isdisjoint(_sockets_of(int(place.name))):
                return Owner(int(place.name), (place / "comm").read_text().strip())
    return None


def unit_of(process: int) -> str:
    """Returns the unit of systemd that the process belongs to; empty if none does."""
    try:
        lines = (PROC / str(process) / "cgroup").read_text().splitlines()
    except OSError:
        return ""
    names = [part for line in lines for part in line.split("/") if part.endswith(".service")]
    return names[-1] if names else ""
