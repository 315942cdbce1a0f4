# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's programs for routes to networks behind clients: behind the connect hook, and at a session's end.

They are steps of the hook of that name, with its order and its bounds: one user's slow program delays no other user.
As in ocserv a client without its routes is refused.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from typing import TYPE_CHECKING, Protocol

from ocsentry.privileges.hooks.client import HookResult
from vpn_frontend.sessions.records.hook_environment import IROUTES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

FINE = HookResult("")
ADD, REMOVE = "route_add", "route_del"


class RunsWithNetwork(Protocol):
    async def run_program(self, program: str, environment: Mapping[str, str], network: str = "") -> HookResult: ...


class RoutePrograms:
    """Implements ``ocsentry.privileges.hooks.runner.RunsPrograms``."""

    def __init__(self, helper: RunsWithNetwork, configured: Collection[str]) -> None:
        """``helper`` runs the hooks, of which some are ``configured``."""
        self._helper = helper
        self._configured = configured
        self._owners: dict[str, tuple[str, Mapping[str, str]]] = {}  # by network: session and its environment
        self._changes: dict[str, _Change] = {}  # by network, as long as one changes
        self.names = frozenset({"connect", "disconnect", "leave", *configured} - {ADD, REMOVE})

    async def run_program(self, program: str, environment: Mapping[str, str]) -> HookResult:
        result = FINE
        if program in self._configured:
            result = await self._helper.run_program(program, environment)
        if program == "connect" and not result.problem:
            return await self._add_all(environment)
        if program in ("disconnect", "leave"):
            removed = await self._remove_all(environment)
            return result if result.problem else removed
        return result

    async def close(self) -> None:
        """Remove what is left: the sessions go on without this process."""
        for network in list(self._owners):
            await self._remove(network, None)

    async def _add_all(self, environment: Mapping[str, str]) -> HookResult:
        added: list[str] = []
        for text in environment.get(IROUTES, "").split():
            network = str(ip_network(text))
            result = await self._add(network, environment)
            if result.problem:
                for one in added:
                    await self._remove(one, environment["ID"])
                return HookResult(f"route_add of {network}: {result.problem}", result.output)
            added.append(network)
        return FINE

    async def _add(self, network: str, environment: Mapping[str, str]) -> HookResult:
        """A network that another session leaves keeps its route: it leads to the same device."""
        async with self._changing(network):
            if network not in self._owners:
                result = await self._run(ADD, environment, network)
                if result.problem:
                    return result
            self._owners[network] = (environment["ID"], environment)
            return FINE

    async def _remove_all(self, environment: Mapping[str, str]) -> HookResult:
        session, worst = environment["ID"], FINE
        for network in [network for network, (owner, _) in self._owners.items() if owner == session]:
            result = await self._remove(network, session)
            if result.problem:
                worst = HookResult(f"route_del of {network}: {result.problem}", result.output)
        return worst

    async def _remove(self, network: str, session: str | None) -> HookResult:
        """``session``: unless another one has the network by now. The route counts as gone also after an error."""
        async with self._changing(network):
            owner, environment = self._owners.get(network, ("", {}))
            if not owner or session not in (None, owner):
                return FINE
            del self._owners[network]
            return await self._run(REMOVE, environment, network)

    async def _run(self, program: str, environment: Mapping[str, str], network: str) -> HookResult:
        if program not in self._configured:
            return FINE
        return await self._helper.run_program(program, environment, network)

    def _changing(self, network: str) -> _Change:
        return self._changes.setdefault(network, _Change(self._changes, network))


class _Change:
    """One change of a network at a time. Leaves the table with its last user."""

    def __init__(self, table: dict[str, _Change], network: str) -> None:
        self._table, self._network = table, network
        self._lock = asyncio.Lock()
        self._users = 0

    async def __aenter__(self) -> None:
        self._users += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self._forget()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
        self._forget()

    def _forget(self) -> None:
        self._users -= 1
        if not self._users:
            del self._table[self._network]
