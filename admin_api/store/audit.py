# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit: a hash chain of rows.

Each digest is SHA-256 over the previous digest and the row's content in canonical JSON; the first one follows 32 zero
bytes. Altering or removing a row means rewriting every later one, which an earlier exported digest reveals.
"""

from __future__ import annotations

import hashlib
import json
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from admin_api.store.filters import conditions_of, page_by
from admin_api.store.tables import AuditEntry
from admin_api.store.turns import AUDIT, take_turn
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock

GENESIS = bytes(32)
SYSTEM = "system"
TRIMMED = "audit_trimmed"
VERIFY_STEP = 1000  # rows read at a time


def digest_of(entry: AuditEntry) -> bytes:
    content = [entry.serial, entry.at.isoformat(), entry.actor, entry.action, entry.target, entry.detail]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(entry.previous + canonical.encode()).digest()


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which rows are wanted; ``None``: all."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        values = ((AuditEntry.actor, self.actor), (AuditEntry.action, self.action), (AuditEntry.target, self.target))
        return conditions_of(values, AuditEntry.at, self.since, self.until)


class AuditRepository:
    """Appends and reads audit rows."""

    def __init__(self, session: AsyncSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def add(self, actor: str, action: str, target: str, **detail: Any) -> AuditEntry:  # noqa: ANN401 - JSON
        """Append a row. ``detail`` holds JSON values and must hold no secret."""
        return await self.add_late(actor, action, target, detail, self._clock.wall())

    async def add_late(
        self, actor: str, action: str, target: str, detail: Mapping[str, Any], at: datetime
    ) -> AuditEntry:
        """Append a row of a change that was made at ``at``."""
        await take_turn(self._session, AUDIT)
        last = await self._session.scalar(select(AuditEntry).order_by(AuditEntry.serial.desc()).limit(1))
        entry = AuditEntry(
            serial=1 if last is None else last.serial + 1,
            at=at,
            actor=actor,
            action=action,
            target=target,
            detail=dict(detail),
            previous=GENESIS if last is None else last.digest,
        )
        entry.digest = digest_of(entry)
        self._session.add(entry)
        await self._session.flush()
        return entry

    async def page(
        self, *, past: int | None, limit: int, wanted: AuditFilter | None = None, rising: bool = False
    ) -> Sequence[AuditEntry]:
        """Returns rows past the serial ``past``, newest first unless ``rising``."""
        query = page_by(select(AuditEntry), AuditEntry.serial, past=past, limit=limit, rising=rising)
        for condition in () if wanted is None else wanted.conditions():
            query = query.where(condition)
        return (await self._session.scalars(query)).all()

    async def forget_before(self, moment: datetime, limit: int) -> int:
        """Remove up to ``limit`` of the oldest rows, all made before ``moment``. Returns how many.

        A row ``audit_trimmed`` keeps the digest of the last one, so that what is left can still be verified.
        """
        oldest = (await self._session.scalars(select(AuditEntry).order_by(AuditEntry.serial).limit(limit + 1))).all()
        old = [*takewhile(lambda entry: entry.at < moment, oldest[:limit])]
        if not old:
            return 0
        last = old[-1]
        await self.add(SYSTEM, TRIMMED, f"until {last.serial}", until=last.serial, digest=last.digest.hex())
        await self._session.execute(delete(AuditEntry).where(AuditEntry.serial <= last.serial))
        return len(old)

    async def first_broken(self) -> int | None:
        """Returns the serial of the first broken row; ``None`` if the chain is intact."""
        expected, serial = await self._beginning()
        while True:
            query = select(AuditEntry).where(AuditEntry.serial > serial).order_by(AuditEntry.serial).limit(VERIFY_STEP)
            entries = (await self._session.scalars(query)).all()
            for entry in entries:
                if entry.serial != serial + 1 or entry.previous != expected or entry.digest != digest_of(entry):
                    return serial + 1
                expected, serial = entry.digest, entry.serial
            if len(entries) < VERIFY_STEP:
                return None
            self._session.expunge_all()

    async def _beginning(self) -> tuple[bytes, int]:
        """Returns digest and serial of the last row removed for its age; without one, those before the first."""
        query = select(AuditEntry).where(AuditEntry.action == TRIMMED).order_by(AuditEntry.serial.desc()).limit(1)
        anchor = await self._session.scalar(query)
        if anchor is None or anchor.actor != SYSTEM:
            return GENESIS, 0
        return bytes.fromhex(anchor.detail["digest"]), anchor.detail["until"]
