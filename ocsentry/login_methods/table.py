# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of methods: what opens the method of each word of ``auth.methods`` and ``auth.require``.

A new method needs its word in ``vpn_frontend.settings.MethodName``, its kind in ``vpn_frontend.auth.login_plan`` and
its row here.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocsentry.login_methods.certificate import open_certificate
from ocsentry.login_methods.gssapi import open_gssapi
from ocsentry.login_methods.ldap import open_ldap
from ocsentry.login_methods.oidc import open_oidc
from ocsentry.login_methods.pam import open_pam
from ocsentry.login_methods.password import open_password
from ocsentry.login_methods.radius import open_radius
from ocsentry.login_methods.totp import open_totp
from vpn_frontend.auth.oidc.method import OidcMethod
from vpn_frontend.auth.supervised_method import supervise

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method
    from vpn_frontend.protocol.browser_pages import BrowserPages
    from vpn_frontend.settings import MethodName

METHODS: Mapping[MethodName, Callable[[MethodContext], AbstractAsyncContextManager[Method]]] = {
    "password": open_password,
    "certificate": open_certificate,
    "gssapi": open_gssapi,
    "ldap": open_ldap,
    "pam": open_pam,
    "radius": open_radius,
    "totp": open_totp,
    "oidc": open_oidc,
}


@dataclass(frozen=True, slots=True)
class OpenMethods:
    """Each method that the configuration names, supervised, and the pages of the one that has some."""

    methods: Mapping[str, Method]
    pages: BrowserPages | None


@asynccontextmanager
async def open_methods(context: MethodContext) -> AsyncIterator[OpenMethods]:
    """Yields the methods. They are closed in reverse."""
    async with AsyncExitStack() as opened:
        methods: dict[str, Method] = {}
        pages: BrowserPages | None = None
        for name in context.config.vpn.method_names():
            method = await opened.enter_async_context(METHODS[name](context))
            methods[name] = supervise(method, context.events, context.observe)
            if isinstance(method, OidcMethod):
                pages = method.pages
        yield OpenMethods(methods, pages)
