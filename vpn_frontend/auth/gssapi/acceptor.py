# SPDX-License-Identifier: GPL-3.0-or-later
"""The border to the GSSAPI: what it is asked with a client's token, and what it answers. No I/O."""

from __future__ import annotations

from dataclasses import field
from typing import Protocol

from sentry_engine.records import dataclass

MAX_TOKEN = 12 * 1024  # bytes; the head of a request holds no longer one in base64
MAX_ROUNDS = 8  # tokens of one client in one login; Kerberos needs one, an agreement on it a second


class AcceptorError(Exception):
    """The GSSAPI could not be asked."""


class AcceptorOverloadError(AcceptorError):
    """Too many tokens wait for an answer."""


@dataclass(frozen=True, slots=True)
class TicketAccepted:
    """``principal`` owns the ticket. ``realm`` is that of the server's key. ``token`` is for the client."""

    principal: str
    realm: str
    token: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenWanted:
    """Another token is needed, for ``context``. ``token`` is for the client."""

    context: int
    token: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """``reason`` is one of ``refusals.REFUSALS``."""

    reason: str


Answer = TicketAccepted | TokenWanted | TokenRefused


class Acceptor(Protocol):
    async def accept(self, token: bytes, context: int | None = None) -> Answer:
        """Judge a token of a client. ``context``: of ``TokenWanted``; ``None``: the first one.

        Raises ``AcceptorError``.
        """
