# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of policy did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from admin_api.http.values import Network
    from sentry_engine import Finding, Problem


@dataclass(frozen=True, slots=True)
class BlockReport:
    """``id`` is ``None`` for a dry run. ``overridden_by``: the rule that lets the first address in all the same."""

    id: str | None
    cidr: Network
    reason: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    sessions_cut: int
    created: bool
    overridden_by: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """The outcome of a reload or a check. ``problems`` empty: the policy is good (and, unless dry, in force)."""

    at: datetime
    version: int  # of the policy in force afterwards
    rules: int  # in the policy looked at
    sessions_cut: int
    problems: tuple[Problem, ...] = ()
    findings: tuple[Finding, ...] = ()  # of a check: no errors, but worth a look

    @property
    def valid(self) -> bool:
        return not self.problems


@dataclass(frozen=True, slots=True)
class EnforcementStatus:
    version: int
    loaded_at: datetime
    rules: int
    files: tuple[str, ...]
    failure: PolicyReport | None  # the last reload, where it failed and none has succeeded since
