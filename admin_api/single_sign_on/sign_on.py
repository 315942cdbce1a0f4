# SPDX-License-Identifier: GPL-3.0-or-later
"""What the console asks of a provider of sign-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from admin_api.roles import Role


class SignOnError(Exception):
    """The person is not signed in. The text is for the browser."""


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser goes, and the value of the cookie that marks it as the one that left."""

    url: str
    browser: str


@dataclass(frozen=True, slots=True)
class SignedOn:
    """Who came back. ``wanted``: the page that the person left for the sign-in.

    ``proved_at``: Unix time when the person proved it to the provider, not after now; ``None``: it does not say.
    """

    person: str
    role: Role
    wanted: str
    proved_at: float | None = None


class SignOn(Protocol):
    """``label``: the provider, as the page of the sign-in names it."""

    label: str

    async def leave(self, *, return_url: str, wanted: str, browser: str, again: bool, source: str) -> Departure:
        """Begin a sign-in. ``browser``: the cookie of an earlier one; ``again``: a person must prove it once more.
        ``source``: where it comes from; those of one source give way first where too many wait.

        Raises ``SignOnError``.
        """

    async def come_back(self, query: Mapping[str, str], browser: str) -> SignedOn:
        """End the sign-in that the provider's answer is for, the first time only. Raises ``SignOnError``."""
