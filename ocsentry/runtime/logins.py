# SPDX-License-Identifier: GPL-3.0-or-later
"""What logins ask, at the server and at each virtual host: opened at the start, and again by a reload.

Logins under way end by what they began with: it is closed once their time is over. Files of users stay open, and so do
methods that need what was made before the process gave its privileges up.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from ocsentry.login_methods.table import load_method
from ocsentry.user_files.opened import UserFiles, open_user_files
from sentry_engine.records import dataclass
from vpn_frontend.auth.supervised_method import supervise
from vpn_frontend.host_accounts import Accounts, HostAccounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method
    from vpn_frontend.protocol.browser_pages import BrowserPages
    from vpn_frontend.settings import HostSettings, MethodName

KEPT: frozenset[MethodName] = frozenset({"pam", "gssapi", "bearer", "oidc"})
MAX_FILES = 256  # sets of files of users, of all reloads

Places = tuple[object, ...]  # the files of users that logins at a host look into


class RestartNeededError(OperatorError):
    """The server has to be started again for that."""


@dataclass(frozen=True, slots=True)
class OpenLogins:
    """``context`` is the server's own. ``pages`` are those of the method that has some."""

    context: MethodContext
    accounts: Accounts
    pages: BrowserPages | None


class Logins:
    """Call ``open`` first, and ``close`` at the end."""

    def __init__(self, context: MethodContext) -> None:
        """``context`` has no users yet."""
        self._context = context
        self._base = AsyncExitStack()
        self._present = AsyncExitStack()
        self._files: dict[Places, UserFiles] = {}
        self._kept: dict[tuple[str, MethodName], tuple[Places, Method]] = {}  # by host
        self._pages: BrowserPages | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self) -> OpenLogins:
        """As the start's configuration says. Raises ``OperatorError``."""
        return await self._open(self._context.config, self._present)

    def find_obstacle(self, config: LoadedConfig) -> str | None:
        """Why what logins ask cannot change to that of ``config`` while the server runs; ``None``: it can."""
        running = {name for _, name in self._kept}
        for name in config.vpn.method_names():
            if name in KEPT and name not in running:
                return f"logins by {name} begin with a restart"
        for host in (None, *config.vpn.hosts_with_accounts()):
            where, places = "" if host is None else host.name, places_of(config, host)
            if host is not None and host.own_methods and not any(one == where for one, _ in self._kept):
                return f"the service of PAM of {where} begins with a restart"
            for name in KEPT & set(config.vpn.method_names()):
                kept = self._kept.get((where, name))
                if kept is not None and kept[0] != places:
                    return f"other files of users beside logins by {name} begin with a restart"
        return None

    async def reopen(self, config: LoadedConfig) -> tuple[OpenLogins, AsyncExitStack]:
        """What logins ask by another configuration. The caller passes the stack to ``take``, or closes it.

        Raises ``OperatorError``.
        """
        async with AsyncExitStack() as stack:
            opened = await self._open(config, stack)
            return opened, stack.pop_all()

    def take(self, stack: AsyncExitStack, seconds: float) -> None:
        """``stack`` is in use. What was before it is closed after ``seconds``, when its last logins have ended."""
        former, self._present = self._present, stack
        task = asyncio.create_task(_close_later(former, seconds), name="logins by former rules")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._present.aclose()
        await self._base.aclose()

    async def _open(self, config: LoadedConfig, stack: AsyncExitStack) -> OpenLogins:
        files, context, own = await self._open_host(config, stack, None, {})
        of_hosts = {}
        for host in config.vpn.hosts_with_accounts():
            its_files, _, methods = await self._open_host(config, stack, host, own)
            of_hosts[host.name] = HostAccounts(its_files.directory, methods, its_files.settings)
        accounts = Accounts(HostAccounts(files.directory, own, files.settings), of_hosts)
        return OpenLogins(context, accounts, self._pages)

    async def _open_host(
        self, config: LoadedConfig, stack: AsyncExitStack, host: HostSettings | None, shared: Mapping[str, Method]
    ) -> tuple[UserFiles, MethodContext, dict[str, Method]]:
        """``host`` is ``None`` for the server itself. ``oidc`` has its pages once: it is ``shared`` with hosts."""
        name, places = "" if host is None else host.name, places_of(config, host)
        files = await self._open_files(config, name, places)
        users, one_time = files.directory, files.one_time
        context = replace(self._context, config=config, users=users, one_time=one_time, host=name)
        methods: dict[str, Method] = {}
        for one in config.vpn.method_names():
            if one == "oidc" and host is not None:
                methods[one] = shared[one]
            elif one in KEPT:
                methods[one] = await self._open_kept(one, context, places)
            else:
                methods[one] = await self._open_method(one, context, stack)
        return files, context, methods

    async def _open_kept(self, name: MethodName, context: MethodContext, places: Places) -> Method:
        kept = self._kept.get((context.host, name))
        if kept is None:
            method = await self._open_method(name, context, self._base)
            kept = self._kept[context.host, name] = (places, method)
        return kept[1]

    async def _open_method(self, name: MethodName, context: MethodContext, stack: AsyncExitStack) -> Method:
        method = await stack.enter_async_context(load_method(name)(context))
        self._pages = getattr(method, "pages", self._pages)
        return supervise(method, context.events, context.observe)

    async def _open_files(self, config: LoadedConfig, host: str, places: Places) -> UserFiles:
        found = self._files.get(places)
        if found is None:
            if len(self._files) >= MAX_FILES:
                raise RestartNeededError(f"more than {MAX_FILES} files of users since the start")
            store, events, read = self._context.store, self._context.events, self._context.helper.read_key
            opened = open_user_files(config, store, events, read, host)
            found = self._files[places] = await self._base.enter_async_context(opened)
        return found


def places_of(config: LoadedConfig, host: HostSettings | None) -> Places:
    """The files and folders that logins at a host look into; ``None``: at the server itself."""
    vpn = config.vpn
    auth, folders = (vpn.auth, vpn.folders) if host is None else (host.auth, host.folders or vpn.folders)
    return auth.ocpasswd_file, auth.oath_file, folders


async def _close_later(stack: AsyncExitStack, seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        await stack.aclose()
