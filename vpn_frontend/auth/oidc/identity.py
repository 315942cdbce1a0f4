# SPDX-License-Identifier: GPL-3.0-or-later
"""Who an ID token is of: the user and the groups that its claims name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentry_engine.records import dataclass
from vpn_frontend.auth.oidc.signing_keys import ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.auth.oidc.claims import OidcClaims

MAX_NAME = 64  # characters of a user or a group
MAX_GROUPS = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the provider has authenticated."""

    user: str
    groups: tuple[str, ...]


def read_identity(claims: Mapping[str, Any], wanted: OidcClaims) -> Identity:
    """User and groups of an ID token. Raises ``ProviderError`` if they are not acceptable."""
    user = claims.get(wanted.user)
    if not _is_name(user):
        raise ProviderError(f"the ID token has no usable claim {wanted.user}")
    if wanted.user == "email" and claims.get("email_verified") is not True:
        raise ProviderError("the ID token has an e-mail address that is not verified")
    groups = claims.get(wanted.groups, [])
    groups = [groups] if isinstance(groups, str) else groups
    if not isinstance(groups, list) or len(groups) > MAX_GROUPS or not all(map(_is_name, groups)):
        raise ProviderError(f"the ID token has no usable claim {wanted.groups}")
    return Identity(str(user), tuple(dict.fromkeys(groups)))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable() and value == value.strip()
