# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes a client's Kerberos message to the KDC of its path and realm, and the answer back.

Only the KDCs of the configuration are asked, each request over a connection of its own. A client waits for its own
request only; their number at each KDC is bounded, and so is the time of each.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vpn_frontend.kdc_proxy.messages import (
    MAX_REPLY,
    PREFIX,
    ProxyMessageError,
    parse_proxy_message,
    render_proxy_message,
)
from vpn_frontend.ports import VpnEvent
from vpn_frontend.protocol.http import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vpn_frontend.ports import EventSink
    from vpn_frontend.protocol.browser_pages import BrowserPages
    from vpn_frontend.protocol.http_fast_path import HttpRequest
    from vpn_frontend.settings import Endpoint, KdcRealm

DEADLINE = 10.0  # seconds for one request at the KDC
MAX_REQUESTS = 64  # at a time at one KDC
KERBEROS = (("Content-Type", "application/kerberos"), ("Cache-Control", "no-store"))
PLAIN = (("Content-Type", "text/plain"), ("Cache-Control", "no-store"))


class KdcProxy:
    """Answers requests of the paths of ``realms``, and leaves others to ``pages``.

    Implements ``vpn_frontend.protocol.browser_pages.BrowserPages``.
    """

    def __init__(self, realms: Sequence[KdcRealm], events: EventSink, pages: BrowserPages | None = None) -> None:
        self._pages = pages
        self._events = events
        self._requests: dict[Endpoint, int] = {}  # that wait, by KDC: one that hangs holds up its own clients only
        self.use(realms)

    def use(self, realms: Sequence[KdcRealm]) -> None:
        """Requests to come are passed on by ``realms``."""
        self._realms: dict[str, list[KdcRealm]] = {}
        for one in realms:
            self._realms.setdefault(one.path, []).append(one)

    async def show(self, request: HttpRequest) -> HttpResponse:
        realms = self._realms.get(request.path)
        if realms is not None:
            return await self._pass_on(request.body, realms)
        if self._pages is None:
            raise TypeError(f"no page is at {request.path}")
        return await self._pages.show(request)

    async def _pass_on(self, body: bytes, realms: Sequence[KdcRealm]) -> HttpResponse:
        try:
            message = parse_proxy_message(body)
        except ProxyMessageError as error:
            return HttpResponse(400, "Bad Request", PLAIN, f"{error}\n".encode(), close=True)
        named = message.realm.upper()
        server = next((one for one in realms if one.realm.upper() == named), realms[0]).server
        waiting = self._requests.get(server, 0)
        if waiting >= MAX_REQUESTS:
            return HttpResponse(503, "Service Unavailable", (*PLAIN, ("Retry-After", "1")), b"Too many requests\n")
        self._requests[server] = waiting + 1
        try:
            async with asyncio.timeout(DEADLINE):
                answer = await _ask(server, message.kerberos)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ProxyMessageError) as error:
            self._events.emit(VpnEvent.BACKEND_FAILED, what=f"KDC {server}", error=repr(error))
            return HttpResponse(502, "Bad Gateway", PLAIN, b"The KDC does not answer\n")
        finally:
            self._requests[server] -= 1
        return HttpResponse(200, "OK", KERBEROS, render_proxy_message(answer))


async def _ask(server: Endpoint, message: bytes) -> bytes:
    """The KDC's answer over TCP, with its length before it. Raises what a connection raises."""
    reader, writer = await asyncio.open_connection(str(server.address), server.port)
    try:
        writer.write(message)
        prefix = await reader.readexactly(PREFIX)
        size = int.from_bytes(prefix, "big")
        if not 0 < size <= MAX_REPLY:
            raise ProxyMessageError(f"the KDC announces {size} bytes")
        return prefix + await reader.readexactly(size)
    finally:
        writer.close()
