# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that outlive the server's process, planned or not: what the last one left, and what this one leaves.

The journal knows which sessions are open and how to give them back. A mapped file has their counters, and which of them
were told to end (``gateway.accounts``). A session needs both. Without the file none is given back, and all of them end
as ``crashed``: an older copy of the journal alone opens nothing. Of a fleet's node those that the fleet holds do not
end: other nodes may open them.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.gateway.accounts import Account, AccountsError, AccountsFile, FormerAccounts, read_accounts
from vpn_frontend.ports import DIRECTORY_DEADLINE, CloseReason, VpnEvent
from vpn_frontend.sessions.persistence.resumption import Resumption, ResumptionError, parse_resumption

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vpn_frontend.ports import EventSink, OpenRecord, SessionJournal, UserDirectory, UserRecord
    from vpn_frontend.sessions.persistence.restorer import SessionRestorer

LOOKED_UP_AT_ONCE = 64  # users


@dataclass(slots=True)
class FormerSession:
    saved: Resumption
    account: Account
    accounted: int


class FormerSessions:
    """Call ``read``, ``restore`` and ``commit`` once, in this order, and ``close`` at the end."""

    def __init__(
        self,
        path: Path | None,
        *,
        journal: SessionJournal,
        users: Callable[[str], UserDirectory],
        events: EventSink,
        shared: bool = False,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``path`` is the file of accounts; ``None``: sessions end with the process. ``users`` are those of a host.

        ``shared``: what has no open account here may go on at another node of the fleet.
        """
        self._path = path
        self._journal = journal
        self._users = users
        self._events = events
        self._shared = shared
        self._wall_clock = wall_clock
        self._accounts: AccountsFile | None = None
        self._found: list[FormerSession] = []
        self._seen_at = 0.0

    @property
    def memory(self) -> memoryview | None:
        """The accounts of this process, for the gateway. ``None``: its sessions end with it."""
        return None if self._accounts is None else self._accounts.memory

    @property
    def next_number(self) -> int:
        """A number that no former session has, nor one above it."""
        return max((former.saved.number for former in self._found), default=0) + 1

    async def read(self, slots: int) -> None:
        """Read what the last process left, and begin the accounts of this one, of ``slots`` sessions."""
        if self._path is None:
            return
        records = await self._journal.open_records()
        try:
            former = read_accounts(self._path)
        except AccountsError as error:
            former = None
            self._events.emit(VpnEvent.SESSIONS_LOST, count=len(records), problem=str(error))
        if former is not None:
            self._seen_at = former.seen_at
            self._found = self._match(records, former)
        try:
            self._accounts = AccountsFile(self._path, slots)
        except AccountsError as error:
            self._report(error)

    def _match(self, records: Sequence[OpenRecord], former: FormerAccounts) -> list[FormerSession]:
        found, problems = list[FormerSession](), list[str]()
        for record in records:
            account = former.find(record.id)
            if self._shared and (account is None or account.ended):
                continue  # it was left to the other nodes, or has ended: the database knows
            if account is None:
                problems.append("it has no account")
                continue
            try:
                saved = parse_resumption(record.id, record.resumption, record.row)
                found.append(FormerSession(saved, account, record.accounted))
            except ResumptionError as error:
                problems.append(str(error))
        if problems:
            self._events.emit(VpnEvent.SESSIONS_LOST, count=len(problems), problem=problems[0])
        return found

    async def restore(self, restorer: SessionRestorer, workers: int, clock: Callable[[], float]) -> None:
        """Give back what may go on. The journal is told the end of all others."""
        began, restored = clock(), 0
        users = await self._find_users()
        for number, former in enumerate(self._found):
            present = CloseReason.CRASHED if former.account.ended else users[former.saved.id]
            with suppress(ValueError):  # an id or a cookie that is there already: the other one stays
                restored += restorer.restore(
                    former.saved,
                    present,
                    former.account.counters,
                    lost_at=self._seen_at,
                    now=clock(),
                    accounted=former.accounted,
                    worker=number % workers,
                )
        await self._journal.close_orphans({former.saved.id for former in self._found})
        if self._found:
            self._events.emit(
                VpnEvent.SESSIONS_RESTORED,
                restored=restored,
                ended=len(self._found) - restored,
                seconds=round(clock() - began, 3),
            )
        self._found = []

    def commit(self) -> None:
        """What ``restore`` gave back is in the accounts of this process: they replace those of the last one."""
        if self._accounts is not None:
            try:
                self._accounts.commit()
            except AccountsError as error:
                self._report(error)

    def beat(self) -> None:
        """To be called every second: what a client has left of ``cookie_timeout`` counts from the last call."""
        if self._accounts is not None:
            self._accounts.beat()

    def close(self, *, suspended: bool) -> None:
        """Requires a closed gateway. ``suspended``: a later process may give sessions back."""
        accounts, self._accounts = self._accounts, None
        if accounts is not None:
            if not suspended:
                accounts.remove()
            accounts.close()

    async def _find_users(self) -> dict[str, UserRecord | CloseReason]:
        """The present record of each session's user, or why the session ends. By session."""
        found: dict[str, UserRecord | CloseReason] = {}
        for start in range(0, len(self._found), LOOKED_UP_AT_ONCE):
            part = [former.saved for former in self._found[start : start + LOOKED_UP_AT_ONCE]]
            answers = await asyncio.gather(*map(self.find_user, part))
            found.update(zip((saved.id for saved in part), answers, strict=True))
        return found

    async def find_user(self, saved: Resumption) -> UserRecord | CloseReason:
        """The present record of a session's user, or why the session ends."""
        try:
            async with asyncio.timeout(DIRECTORY_DEADLINE):
                user = await self._users(saved.host).find(saved.user.name)
        except Exception as error:  # noqa: BLE001 - of any directory
            self._events.emit(VpnEvent.BACKEND_FAILED, what="directory", error=repr(error))
            return CloseReason.FAILED
        if user is None:
            return saved.user if saved.user.external else CloseReason.POLICY
        if not user.enabled:
            return CloseReason.POLICY
        if user.expires_at is not None and user.expires_at <= self._wall_clock():
            return CloseReason.EXPIRED
        if not saved.kept_user:
            return user
        return replace(user, external=saved.user.external, file_layers=saved.user.file_layers)

    def _report(self, error: AccountsError) -> None:
        """Tunnels work all the same, but do not outlive this process."""
        self._events.emit(VpnEvent.BACKEND_FAILED, what="accounts of sessions", error=str(error))
