# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles: named sets of scopes for people."""

from __future__ import annotations

from enum import StrEnum

from admin_api.http.identity import ALL_SCOPES, Scope


class Role(StrEnum):
    """``VIEWER`` changes nothing. ``OPERATOR`` blocks, forgives and ends sessions. ``ADMIN`` may do everything."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


_VIEWER = frozenset(scope for scope in Scope if scope.value.endswith(":read"))
SCOPES = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _VIEWER | {Scope.BLOCKS_WRITE, Scope.PENALTIES_WRITE, Scope.SESSIONS_WRITE},
    Role.ADMIN: ALL_SCOPES,
}


def role_of(scopes: frozenset[Scope]) -> str:
    """Returns the role with exactly these scopes; ``custom`` if there is none."""
    return next((role.value for role, granted in SCOPES.items() if granted == scopes), "custom")
