# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of methods: what opens the method of each word of ``auth.methods`` and ``auth.require``.

A new method needs its word in ``vpn_frontend.settings.MethodName``, its kind in ``vpn_frontend.auth.login_plan`` and
its row here.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.auth.supervised_method import supervise

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method
    from vpn_frontend.protocol.browser_pages import BrowserPages
    from vpn_frontend.settings import MethodName

    OpenMethod = Callable[[MethodContext], AbstractAsyncContextManager[Method]]

# Each module has the function ``open_NAME``. It is loaded if the method is used: libraries of others take long to load.
METHODS: Mapping[MethodName, str] = {
    "password": "ocsentry.login_methods.password",
    "bearer": "ocsentry.login_methods.bearer",
    "certificate": "ocsentry.login_methods.certificate",
    "gssapi": "ocsentry.login_methods.gssapi",
    "ldap": "ocsentry.login_methods.ldap",
    "pam": "ocsentry.login_methods.pam",
    "radius": "ocsentry.login_methods.radius",
    "totp": "ocsentry.login_methods.totp",
    "oidc": "ocsentry.login_methods.oidc",
}


@dataclass(frozen=True, slots=True)
class OpenMethods:
    """Each method that the configuration names, supervised, and the pages of the one that has some."""

    methods: Mapping[str, Method]
    pages: BrowserPages | None


def load_method(name: MethodName) -> OpenMethod:
    """Returns what opens the method of that name."""
    opener: OpenMethod = getattr(import_module(METHODS[name]), f"open_{name}")
    return opener


@asynccontextmanager
async def open_methods(context: MethodContext) -> AsyncIterator[OpenMethods]:
    """Yields the methods. They are closed in reverse."""
    async with AsyncExitStack() as opened:
        methods: dict[str, Method] = {}
        pages: BrowserPages | None = None
        for name in context.config.vpn.method_names():
            method = await opened.enter_async_context(load_method(name)(context))
            methods[name] = supervise(method, context.events, context.observe)
            pages = getattr(method, "pages", pages)
        yield OpenMethods(methods, pages)


@asynccontextmanager
async def open_host_methods(
    context: MethodContext, shared: Mapping[str, Method]
) -> AsyncIterator[Mapping[str, Method]]:
    """Yields what asks the users of ``context``, for a virtual host. ``oidc`` has its pages once: it is ``shared``."""
    async with AsyncExitStack() as opened:
        methods = dict(shared)
        for name in context.config.vpn.method_names():
            if name != "oidc":
                method = await opened.enter_async_context(load_method(name)(context))
                methods[name] = supervise(method, context.events, context.observe)
        yield methods
