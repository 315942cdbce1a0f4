# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses requests whose Host header names another host (RFC 9110, 7.4).

A page in the operator's browser can make its own name stand for this server's address (DNS rebinding), and then read
what loopback may read without a token. Such a request carries the page's name. An address in the header is harmless:
the browser compared it with the page's.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from admin_api.http.paths import PRINCIPAL
from admin_api.http.problem_responses import problem_response
from admin_api.http.problems import ApiError, ProblemKind

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Receive, Scope, Send

    from admin_api.http.identity import Principal

MAX_KNOWN = 64  # spellings of Host, which a client repeats with each request
LOCAL_NAMES = frozenset({"localhost", "localhost."})


class HostCheck:
    """ASGI middleware: answers 421 unless Host is an address, ``localhost`` or one of ``hosts`` (lower case).

    The Unix socket is exempt: no browser reaches it.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = hosts
        self._is_known = lru_cache(MAX_KNOWN)(self._is_ours)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal: Principal | None = scope.get(PRINCIPAL)
        host = Headers(scope=scope).get("host", "")
        if (principal is not None and principal.local) or self._is_known(host):
            await self._app(scope, receive, send)
            return
        detail = f"{host[:255]!r} is no name of this server; add it to admin.hosts"
        await problem_response(scope, ApiError(ProblemKind.MISDIRECTED, detail))(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        name = host.lower()
        if name.startswith("["):
            name = name[1:].partition("]")[0]
        elif name.count(":") == 1:
            name = name.partition(":")[0]
        if name in LOCAL_NAMES or name in self._hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True
