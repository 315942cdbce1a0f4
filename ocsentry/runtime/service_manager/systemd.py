# SPDX-License-Identifier: GPL-3.0-or-later
"""Notifies systemd (sd_notify(3)) by datagrams to the socket in ``$NOTIFY_SOCKET``, and uses its descriptor store.

Without that variable every ``notify`` does nothing. A datagram that cannot be sent is dropped, so that a stuck systemd
never stalls the server.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_STATUS_CHARACTERS = 200
FIRST_PASSED = 3  # SD_LISTEN_FDS_START
PASSED = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def _send(*assignments: str, descriptors: Sequence[int] = ()) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # the abstract namespace
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as link:
        link.connect(address)
        socket.send_fds(link, ["\n".join(assignments).encode()], descriptors)


def notify_ready(status: str) -> None:
    _send("READY=1", f"STATUS={status[:MAX_STATUS_CHARACTERS]}")


def notify_reloading() -> None:
    """Begin a reload; ``notify_ready`` ends it. ``Type=notify-reload`` waits for ever without the time."""
    _send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def notify_stopping() -> None:
    _send("STOPPING=1")


def notify_watchdog() -> None:
    _send("WATCHDOG=1")


def notify_stored(name: str, descriptors: Sequence[int]) -> None:
    """Let the next process have copies of ``descriptors``. One that is stored already changes nothing."""
    _send("FDSTORE=1", f"FDNAME={name}", "FDPOLL=0", descriptors=descriptors)


def notify_unstored(name: str) -> None:
    """Forget the stored descriptors of that name."""
    _send("FDSTOREREMOVE=1", f"FDNAME={name}")


def take_stored() -> list[tuple[str, int]]:
    """The descriptors that were stored, with their names. The caller owns them; a second call finds none."""
    process, number, names = (os.environ.pop(variable, "") for variable in PASSED)
    if process != str(os.getpid()) or not number.isdigit():
        return []
    descriptors = range(FIRST_PASSED, FIRST_PASSED + int(number))
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return list(zip(names.split(":"), descriptors, strict=False))


def watchdog_interval() -> float | None:
    """Returns the seconds between two ``notify_watchdog``: half of systemd's limit. ``None``: no watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    allowed = os.environ.get("WATCHDOG_USEC", "")
    return int(allowed) / 2_000_000 if allowed.isdigit() and int(allowed) else None
