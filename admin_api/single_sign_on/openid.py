# SPDX-License-Identifier: GPL-3.0-or-later
"""Sign-ins at an OpenID provider, by the code flow with PKCE.

A sign-in is bound to its browser by a cookie, and its answer counts once. Those that wait are in memory, in a bounded
table: a restart ends them.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import Counter, OrderedDict
from dataclasses import field
from hmac import compare_digest
from typing import TYPE_CHECKING

import httpx

from admin_api.single_sign_on.sign_on import Departure, SignedOn, SignOnError
from sentry_engine.records import dataclass
from vpn_frontend.auth.oidc.identity import read_identity
from vpn_frontend.auth.oidc.provider import is_number
from vpn_frontend.auth.oidc.signing_keys import ProviderError
from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from admin_api.single_sign_on.group_roles import GroupRoles
    from vpn_frontend.auth.oidc.claims import OidcClaims
    from vpn_frontend.auth.oidc.provider import OidcProvider
    from vpn_frontend.ports import EventSink

MAX_WAITING = 256  # the oldest of the source with the most is forgotten
LIFETIME = 600.0  # seconds that a person may stay at the provider
DEADLINE = 20.0  # seconds for the provider's answers
BROWSER = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 random bits
FAILURES = (ProviderError, httpx.HTTPError, httpx.InvalidURL, TimeoutError)
GONE = "This sign-in has ended, or began in another browser. Please start again"


@dataclass(frozen=True, slots=True)
class _Waiting:
    """``since``: Unix time after which the person must prove who it is; ``None``: an earlier proof counts."""

    browser: str
    return_url: str
    wanted: str
    until: float
    since: float | None
    source: str
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))


class OpenIdSignOn:
    """Implements ``SignOn``. ``clock`` is monotonic, ``wall_clock`` Unix."""

    def __init__(
        self,
        provider: OidcProvider,
        claims: OidcClaims,
        roles: GroupRoles,
        *,
        label: str,
        events: EventSink,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.label = label
        self._provider = provider
        self._claims = claims
        self._roles = roles
        self._events = events
        self._clock = clock
        self._wall_clock = wall_clock
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()  # by state, oldest first

    async def leave(self, *, return_url: str, wanted: str, browser: str, again: bool, source: str) -> Departure:
        now = self._clock()
        waiting = _Waiting(
            browser if BROWSER.fullmatch(browser) else secrets.token_urlsafe(32),
            return_url,
            wanted,
            now + LIFETIME,
            self._wall_clock() if again else None,
            source,
        )
        try:
            async with asyncio.timeout(DEADLINE):
                url = await self._provider.authorization_url(
                    redirect_uri=return_url,
                    state=waiting.state,
                    nonce=waiting.nonce,
                    verifier=waiting.verifier,
                    scopes=self._claims.scopes,
                    again=again,
                )
        except FAILURES as error:
            raise self._refuse(error) from error
        self._waiting[waiting.state] = waiting
        self._make_room(now)
        return Departure(url, waiting.browser)

    async def come_back(self, query: Mapping[str, str], browser: str) -> SignedOn:
        waiting = self._waiting.get(query.get("state", ""))
        if (
            waiting is None
            or waiting.until <= self._clock()
            or not compare_digest(waiting.browser.encode(), browser.encode())
        ):
            raise SignOnError(GONE)
        del self._waiting[waiting.state]
        try:
            if "code" not in query:
                raise ProviderError(f"refused: {query.get('error', '')[:100]!r}")
            async with asyncio.timeout(DEADLINE):
                claims = await self._provider.fetch_claims(
                    code=query["code"],
                    verifier=waiting.verifier,
                    redirect_uri=waiting.return_url,
                    nonce=waiting.nonce,
                    proved_since=waiting.since,
                )
            identity = read_identity(claims, self._claims)
        except FAILURES as error:
            raise self._refuse(error) from error
        role = self._roles.role_of(identity.groups)
        if role is None:
            raise SignOnError(
                f"{identity.user} is in none of the groups that may sign in. An administrator can add one"
            )
        proved_at = claims.get("auth_time")
        proved_at = min(proved_at, self._wall_clock()) if is_number(proved_at) and proved_at > 0 else None
        return SignedOn(identity.user, role, waiting.wanted, proved_at)

    def _make_room(self, now: float) -> None:
        """Forget those whose time is over, and one more if too many wait."""
        while next(iter(self._waiting.values())).until <= now:
            self._waiting.popitem(last=False)
        if len(self._waiting) > MAX_WAITING:
            ((most, _),) = Counter(one.source for one in self._waiting.values()).most_common(1)
            del self._waiting[next(state for state, one in self._waiting.items() if one.source == most)]

    def _refuse(self, error: Exception) -> SignOnError:
        self._events.emit(
            VpnEvent.BACKEND_FAILED, what="sign-in to the console", error=str(error) or type(error).__name__
        )
        return SignOnError(f"{self.label} did not sign you in. The server's log says why")
