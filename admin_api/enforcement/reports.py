# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports of changes of policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from datetime import datetime

    from sentry_engine import Finding, Problem
    from vpn_frontend.settings import Network


@dataclass(frozen=True, slots=True)
class BlockReport:
    """``id`` is ``None`` for a dry run. ``overridden_by``: the rule that still accepts the first address."""

    id: str | None
    cidr: Network
    reason: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    sessions_cut: int
    created: bool
    overridden_by: str | None = None
    stored: bool = True  # false while the database cannot be written


@dataclass(frozen=True, slots=True)
class RemovalReport:
    """A removed block. Without ``stored`` the row waits to be removed, and a restart before that blocks again."""

    id: str
    cidr: str
    stored: bool


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """The outcome of a reload or a check. Without ``problems`` the policy is valid; after a reload it is in force."""

    at: datetime
    version: int  # of the policy in force afterwards
    rules: int  # in the policy that was read
    sessions_cut: int
    problems: tuple[Problem, ...] = ()
    findings: tuple[Finding, ...] = ()  # warnings of a check

    @property
    def valid(self) -> bool:
        return not self.problems


@dataclass(frozen=True, slots=True)
class AppliedReport:
    """The outcome of an applied policy or a rollback. ``confirm_by``: when it is rolled back unless confirmed.

    ``canary``: the nodes that have it in force, if it is tried on some first; ``version`` is that of the others then.
    """

    version: int
    rules: int
    sessions_cut: int
    confirm_by: datetime | None
    canary: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EnforcementStatus:
    """The policy in force. ``held``: files on disk that a rollback keeps out of force."""

    version: int
    loaded_at: datetime
    rules: int
    files: tuple[str, ...]
    failure: PolicyReport | None  # the last reload, if it failed
    held: tuple[str, ...] = ()
    confirm_by: datetime | None = None  # of the version in force, if it must be confirmed
    changed_files: bool = False  # files changed while a policy waits to be confirmed; they are loaded after that


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """``in_force``, ``needs_restart``: changed keys of the configuration. ``policy``: ``None`` if not reloaded."""

    in_force: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()  # of the configuration or of certificates
    policy: PolicyReport | None = None
