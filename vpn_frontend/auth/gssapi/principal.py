# SPDX-License-Identifier: GPL-3.0-or-later
"""The user that a Kerberos principal is. Pure.

Only principals of one component are users: ``alice/admin`` and ``host/server`` are none. A user of the server's own
realm is named without it, one of another accepted realm as ``user@REALM``: two realms may have the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpn_frontend.auth.certificate.identity import MAX_NAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection


class PrincipalError(Exception):
    """The principal is no user of this server. ``reason`` is a stable code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def user_of(principal: str, own_realm: str, realms: Collection[str]) -> str:
    """The user's name. ``realms`` are accepted; empty: ``own_realm`` alone. Raises ``PrincipalError``."""
    name, at, realm = principal.rpartition("@")
    if not at or not realm or not own_realm or "\\" in principal:  # the library escapes what is special in a name
        raise PrincipalError("principal_malformed")
    if realm not in (realms or (own_realm,)):
        raise PrincipalError("foreign_realm")
    if "/" in name:
        raise PrincipalError("principal_no_user")
    user = name if realm == own_realm else f"{name}@{realm}"
    if not name or "@" in name or name != name.strip() or not user.isprintable():
        raise PrincipalError("principal_malformed")
    if len(user.encode()) > MAX_NAME_BYTES:
        raise PrincipalError("principal_too_long")
    return user
