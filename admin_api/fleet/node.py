# SPDX-License-Identifier: GPL-3.0-or-later
"""This server as one node: membership, the rows of its blocks, and the changes that it follows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from admin_api.enforcement.policy.revisions import RULES
from admin_api.fleet.changes.accounts import GROUP, KILL, KILL_SESSION, USER, GroupPart, KillPart, ReadAgain, UserPart
from admin_api.fleet.changes.block_rows import BLOCK, UNBLOCK, BlockPart, FleetRows
from admin_api.fleet.changes.changes import Changes
from admin_api.fleet.changes.failed_logins import FAILED_LOGINS, FailedLoginsPart
from admin_api.fleet.changes.heavy import HeavyPart
from admin_api.fleet.changes.log_trim import LogTrim
from admin_api.fleet.changes.penalties import FORGIVEN, PENALTY, PenaltyPart
from admin_api.fleet.deliveries import DeliveryTakeover
from admin_api.fleet.membership.membership import Membership, NodeState
from admin_api.fleet.membership.node_list import count_applied
from admin_api.fleet.policy.canaries import CANARY
from admin_api.fleet.policy.rollout import PolicyRollout
from admin_api.fleet.policy.rules import PROPOSED, RulesPart
from admin_api.fleet.sessions.sessions import FleetSessions

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from admin_api.enforcement.service import Enforcement
    from admin_api.fleet.settings import FleetSettings
    from admin_api.ports import LiveSessions
    from admin_api.store import Store
    from sentry_engine import Engine
    from vpn_frontend.ports import EventSink
    from vpn_frontend.sessions.effective_settings import SettingsResolver


FIRST_LOOK, LOOK_AGAIN = 0.002, 0.02  # seconds between two looks at what the others have applied: they become longer


class FleetNode:
    """Opened right after the store: ``start`` before anything is read from it, ``follow`` once all is in force."""

    def __init__(
        self,
        url: str,
        settings: FleetSettings,
        store: Store,
        events: EventSink,
        listener: socket.socket | None = None,
    ) -> None:
        """``listener``: a bound socket for messages of the other nodes; ``None``: they reach it by the database."""
        self.settings = settings
        self.store = store
        self.membership = Membership(url, settings, events)
        self.changes = Changes(url, store, self.membership, events)
        self._events = events
        self._rules: RulesPart | None = None
        self._deliveries: DeliveryTakeover | None = None
        self.heavy: HeavyPart | None = None
        self.penalties: PenaltyPart | None = None
        self.failed_logins: FailedLoginsPart | None = None
        self.rows = FleetRows(self.membership, store.clock)
        self.sessions = FleetSessions(url, self.membership, store, events, listener)
        self.log_trim = LogTrim(self.sessions.calls, self.sessions.report)

    async def start(self) -> None:
        """Join. Raises ``JoinRefusedError`` or ``LinkError``."""
        await self.membership.start()
        await self.changes.start()
        self.sessions.start()
        self.log_trim.start()

    def follow(
        self,
        *,
        enforcement: Enforcement,
        sessions: LiveSessions,
        engine: Engine,
        settings: SettingsResolver,
        read_settings: Callable[[], Awaitable[None]],
        read_webhooks: Callable[[], Awaitable[None]],
        lift: Callable[[], Awaitable[object]],
    ) -> None:
        """Apply what the other nodes change. ``lift`` has the kernel's filter let forgiven sources in."""
        store, clock = self.store, self.store.clock
        self.changes.register(BlockPart(enforcement, store, self.rows, clock), BLOCK, UNBLOCK)
        self.changes.register(UserPart(store, sessions, engine, clock), USER)
        self.changes.register(GroupPart(store, sessions, settings), GROUP)
        self.changes.register(KillPart(sessions), KILL, KILL_SESSION)
        self._rules = RulesPart(enforcement, store, self.membership, self._events)
        self.changes.register(self._rules, RULES, PROPOSED, CANARY)
        self._rules.start()
        enforcement.share(PolicyRollout(store, self.membership, self.changes, self._rules, self._events))
        self.penalties = PenaltyPart(
            engine, store, self.membership, control=enforcement.control, lift=lift, report=self.sessions.report
        )
        self.changes.register(self.penalties, PENALTY, FORGIVEN)
        self.penalties.start()
        failures, report = self.sessions.admission.failures, self.sessions.report
        self.failed_logins = FailedLoginsPart(failures, store, self.membership, report)
        self.changes.register(self.failed_logins, FAILED_LOGINS)
        self.failed_logins.start()
        calls, control = self.sessions.calls, enforcement.control
        self.heavy = HeavyPart(engine, calls, self.membership, clock, control=control, report=report)
        self.heavy.start()
        self._deliveries = DeliveryTakeover(store, self.membership, read_webhooks, self.sessions.report)
        self._deliveries.start()
        self.changes.register(ReadAgain(read_settings), "settings")
        self.changes.register(ReadAgain(read_webhooks), "webhooks")
        self.membership.on_answer(lambda _: self.membership.report(sessions=len(sessions.list())))
        self.changes.follow()

    async def wait_applied(self, revision: int, seconds: float) -> tuple[int, int]:
        """Wait until all live nodes have applied ``revision``. Returns on how many it is, and how many are alive."""
        found, pause = (1, 1), FIRST_LOOK
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found = await count_applied(self.store, revision, self.settings.dead_after)
                    if found[0] >= found[1]:
                        return found
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LOOK_AGAIN)
        except (TimeoutError, SQLAlchemyError):
            return found  # what was seen last

    @property
    def needs_store(self) -> bool:
        """False: this node goes on taking logins while the database is away."""
        return self.settings.on_store_loss == "deny"

    async def check(self) -> str | None:
        """The readiness check: why clients should go to another node."""
        membership = self.membership
        if membership.draining:
            return f"an operator drains this node; end it with: ocsentry node resume {self.settings.name}"
        if membership.state is NodeState.RETURNING:
            return "its sessions are being compared with the database"
        if membership.state is NodeState.CUT_OFF and self.needs_store:
            return f"cut off from the fleet: {membership.why_cut_off}"
        return None

    async def stop(self) -> None:
        await self.changes.stop()
        for part in (self._rules, self.penalties, self.failed_logins, self._deliveries, self.heavy):
            if part is not None:
                await part.stop()
        await self.log_trim.stop()
        await self.sessions.stop()
        await self.membership.stop()
