# SPDX-License-Identifier: GPL-3.0-or-later
"""Notifies systemd (sd_notify(3)) by datagrams to the socket in ``$NOTIFY_SOCKET``.

Without that variable every function does nothing. A datagram that cannot be sent is dropped, so that a stuck systemd
never stalls the server.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

MAX_STATUS_CHARACTERS = 200


def _send(*assignments: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # the abstract namespace
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as link:
        link.connect(address)
        link.send("\n".join(assignments).encode())


def notify_ready(status: str) -> None:
    _send("READY=1", f"STATUS={status[:MAX_STATUS_CHARACTERS]}")


def notify_reloading() -> None:
    """Begin a reload; ``notify_ready`` ends it. ``Type=notify-reload`` waits for ever without the time."""
    _send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def notify_stopping() -> None:
    _send("STOPPING=1")


def notify_watchdog() -> None:
    _send("WATCHDOG=1")


def watchdog_interval() -> float | None:
    """Returns the seconds between two ``notify_watchdog``: half of systemd's limit. ``None``: no watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    allowed = os.environ.get("WATCHDOG_USEC", "")
    return int(allowed) / 2_000_000 if allowed.isdigit() and int(allowed) else None
