# SPDX-License-Identifier: GPL-3.0-or-later
"""Which role the groups of a person give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.roles import Role
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class GroupRoles:
    """Groups by what their members may do. Names are compared exactly, as the provider writes them."""

    admins: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()
    viewers: frozenset[str] = frozenset()

    def role_of(self, groups: Collection[str]) -> Role | None:
        """The highest role; ``None``: the person may not sign in."""
        ranks = ((Role.ADMIN, self.admins), (Role.OPERATOR, self.operators), (Role.VIEWER, self.viewers))
        return next((role for role, members in ranks if not members.isdisjoint(groups)), None)
