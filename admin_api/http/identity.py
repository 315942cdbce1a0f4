# SPDX-License-Identifier: GPL-3.0-or-later
"""Callers of the API: tokens, scopes and principals.

A token reads ``ocs_<id>_<secret>``. The prefix lets secret scanners find it, and the id is the key of its row. The
secret is 256 random bits; the store holds only its SHA-256. A scope is ``resource:read`` or ``resource:write``; write
implies read.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from enum import StrEnum

from sentry_engine.records import dataclass

TOKEN_ID_BYTES = 6
SECRET_BYTES = 32
CONSOLE_PREFIX = "console:"  # of names of tokens that are a browser's session in the console
TOKEN_PATTERN = re.compile(r"ocs_([0-9a-f]{12})_([0-9a-f]{64})")


class Scope(StrEnum):
    """What a token permits."""

    AUDIT_READ = "audit:read"
    BLOCKS_READ = "blocks:read"
    BLOCKS_WRITE = "blocks:write"
    DECISIONS_READ = "decisions:read"
    EVENTS_READ = "events:read"
    METRICS_READ = "metrics:read"
    PENALTIES_READ = "penalties:read"
    PENALTIES_WRITE = "penalties:write"
    POLICY_READ = "policy:read"
    POLICY_WRITE = "policy:write"
    RULES_READ = "rules:read"
    RULES_WRITE = "rules:write"
    SESSIONS_READ = "sessions:read"
    SESSIONS_WRITE = "sessions:write"
    SETTINGS_READ = "settings:read"
    SETTINGS_WRITE = "settings:write"
    STATUS_READ = "status:read"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. ``name`` identifies it in rows and in the audit."""

    name: str
    scopes: frozenset[Scope]
    local: bool = False  # came over the Unix socket, so it has no address

    def may(self, scope: Scope) -> bool:
        """True if the scopes include ``scope``, or the write scope of its resource."""
        return scope in self.scopes or _write_of(scope) in self.scopes


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A new token. ``text`` is shown once and never stored."""

    id: str
    text: str
    digest: bytes


def mint_token() -> MintedToken:
    """Returns a new random token."""
    token_id, secret = secrets.token_hex(TOKEN_ID_BYTES), secrets.token_hex(SECRET_BYTES)
    return MintedToken(token_id, f"ocs_{token_id}_{secret}", digest_secret(secret))


def parse_token(text: str) -> tuple[str, str] | None:
    """Returns id and secret of a well-formed token, ``None`` for other text."""
    match = TOKEN_PATTERN.fullmatch(text)
    return None if match is None else (match[1], match[2])


def digest_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def secret_matches(secret: str, digest: bytes) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(digest_secret(secret), digest)


def _write_of(scope: Scope) -> str:
    return f"{scope.partition(':')[0]}:write"
