# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of the directory's servers. getaddrinfo(3) blocks, so each look-up has a thread of its own.

Logins that need the same name wait for one look-up, so a name server that hangs holds one thread per server and no
other. The threads are daemons: nothing waits for them at the end.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ADDRESSES = 8  # of one name that are tried


def look_up(host: str) -> list[str]:
    """The addresses of ``host``. Blocks. Raises ``OSError``, also for what cannot be a name (an empty label)."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(0, f"{host} is no name of a host ({error})") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MAX_ADDRESSES]


class Resolver:
    """Look-ups under way, by name."""

    def __init__(self, blocking: Callable[[str], list[str]] = look_up) -> None:
        self._look_up = blocking
        self._running: dict[str, asyncio.Future[list[str]]] = {}

    async def find(self, host: str) -> list[str]:
        """The addresses of ``host``, an address itself at once. Raises ``OSError``."""
        with suppress(ValueError):
            return [str(ip_address(host))]
        running = self._running.get(host)
        if running is None:
            loop = asyncio.get_running_loop()
            running = self._running[host] = loop.create_future()
            running.add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )  # told, even with no one waiting
            try:
                Thread(target=self._run, args=(host, loop), name=f"look-up of {host}", daemon=True).start()
            except RuntimeError:
                self._finish(host, OSError(0, f"no thread can be started to look {host} up"))
        return await asyncio.shield(running)

    def _run(self, host: str, loop: asyncio.AbstractEventLoop) -> None:
        result: list[str] | OSError
        try:
            result = self._look_up(host)
        except OSError as error:
            result = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(partial(self._finish, host, result))

    def _finish(self, host: str, result: list[str] | OSError) -> None:
        running = self._running.pop(host)
        if isinstance(result, OSError):
            running.set_exception(result)
        else:
            running.set_result(result)
