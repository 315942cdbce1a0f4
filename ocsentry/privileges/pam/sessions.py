# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of PAM around the hooks of a session: opened before its connect hook, closed after its disconnect hook.

Both are steps of the hook of that name, with its order and its bounds: a slow module of one user delays no other user.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ocsentry.privileges.hooks.client import HookResult
from vpn_frontend.auth.pam.conversation import ConversationError, Ended, Phase
from vpn_frontend.auth.pam.verdict import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ocsentry.privileges.hooks.runner import RunsPrograms
    from ocsentry.privileges.pam.client import PamHelper

FINE = HookResult("")


class PamSessions:
    """Implements ``ocsentry.privileges.hooks.runner.RunsPrograms``."""

    def __init__(
        self, helper: PamHelper, timeout: float, programs: RunsPrograms | None = None, configured: Collection[str] = ()
    ) -> None:
        """``timeout``: seconds for the modules. ``programs`` runs the hooks, of which some are ``configured``."""
        self._helper = helper
        self._timeout = timeout
        self._programs = programs
        self._configured = configured
        self.names = frozenset({"connect", "disconnect", *configured})

    async def run_program(self, program: str, environment: Mapping[str, str]) -> HookResult:
        if program == "connect":
            return await self._connect(environment)
        result = await self._run(program, environment)
        if program == "disconnect":
            closed = await self._change(environment, opens=False)
            return result if result.problem else closed
        return result

    async def _connect(self, environment: Mapping[str, str]) -> HookResult:
        opened = await self._change(environment, opens=True)
        if opened.problem:
            return opened
        result = await self._run("connect", environment)
        if result.problem:
            await self._change(environment, opens=False)
        return result

    async def _run(self, program: str, environment: Mapping[str, str]) -> HookResult:
        if self._programs is None or program not in self._configured:
            return FINE
        return await self._programs.run_program(program, environment)

    async def _change(self, environment: Mapping[str, str], *, opens: bool) -> HookResult:
        call = "pam_open_session" if opens else "pam_close_session"
        user, address = environment["USERNAME"], environment.get("IP_REAL", "")
        try:
            async with asyncio.timeout(self._timeout):
                change = await self._helper.open_change(user, address, environment["ID"], opens=opens)
                try:
                    said = await change.receive()
                finally:
                    change.close()
        except TimeoutError:
            return HookResult(f"{call} took too long and was ended")
        except ConversationError as error:
            return HookResult(f"{call}: {error}")
        if not isinstance(said, Ended) or said.code != SUCCESS:
            if isinstance(said, Ended) and said.phase is Phase.ACCOUNT:
                call = "pam_acct_mgmt"
            code = said.code if isinstance(said, Ended) else "with a question"
            return HookResult(f"{call} returned {code}", " ".join(said.messages))
        return FINE
