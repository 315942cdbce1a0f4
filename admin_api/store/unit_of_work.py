# SPDX-License-Identifier: GPL-3.0-or-later
"""A unit of work: the repositories of one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from admin_api.store.accounting.deliveries import AccountingRepository
from admin_api.store.accounting.sessions import SessionRepository
from admin_api.store.accounting.usage import UsageRepository
from admin_api.store.audit import AuditRepository
from admin_api.store.change_log import ChangeLog
from admin_api.store.idempotency import IdempotencyRepository
from admin_api.store.identities.devices import DeviceRepository
from admin_api.store.identities.groups import GroupRepository
from admin_api.store.identities.otp_uses import OtpUseRepository
from admin_api.store.identities.tokens import TokenRepository
from admin_api.store.identities.totp import TotpRepository
from admin_api.store.identities.users import UserRepository
from admin_api.store.policy.blocks import BlockRepository
from admin_api.store.policy.revisions import RevisionRepository
from admin_api.store.policy.rules import RuleRepository
from admin_api.store.policy.source_snapshot import SourceSnapshot
from admin_api.store.policy.table_snapshot import TableSnapshot
from admin_api.store.settings import SettingRepository
from admin_api.store.tables import StoredLocation, StoredPenalty
from admin_api.store.webhooks import WebhookRepository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Executable
    from sqlalchemy.ext.asyncio import AsyncSession

    from admin_api.clock import Clock


class UnitOfWork:
    """Reads and changes rows; only ``Store.write`` commits."""

    def __init__(self, session: AsyncSession, clock: Clock, node: str = "", origin: str = "") -> None:
        """``node``: the name in a fleet; its own rows are read and replaced alone. ``origin``: as ``Store.origin``."""
        self._session = session
        self.accounting = AccountingRepository(session, node)
        self.audit = AuditRepository(session, clock)
        self.blocks = BlockRepository(session)
        self.changes = changes = ChangeLog(session, node, origin)
        self.devices = DeviceRepository(session)
        self.idempotency = IdempotencyRepository(session, clock)
        self.penalties = TableSnapshot(session, StoredPenalty, node)
        self.revisions = RevisionRepository(session, clock)
        self.rules = RuleRepository(session, clock)
        self.sessions = SessionRepository(session, clock, node)
        self.sources = SourceSnapshot(session, node)
        self.tokens = TokenRepository(session, clock)
        self.usage = UsageRepository(session)
        self.groups = GroupRepository(session, clock, changes)
        self.otp_uses = OtpUseRepository(session)
        self.totp = TotpRepository(session, clock)
        self.users = UserRepository(session, clock, changes)
        self.locations = TableSnapshot(session, StoredLocation, node)
        self.settings = SettingRepository(session, clock, changes)
        self.webhooks = WebhookRepository(session, clock, changes, node)

    async def scalar(self, statement: Executable, values: Mapping[str, object]) -> Any:  # noqa: ANN401 - any column
        """Execute a statement that no repository has. Returns the first column of its first row, or ``None``."""
        return await self._session.scalar(statement, values)
