# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of a token: the signature of its provider, who it is for, when it holds, and what else it has to say."""

from __future__ import annotations

import time
from dataclasses import field
from typing import TYPE_CHECKING, Any

from sentry_engine.records import dataclass
from vpn_frontend.auth.oidc.claims import OidcClaims, file_of_url
from vpn_frontend.auth.oidc.identity import read_identity
from vpn_frontend.auth.oidc.provider import SKEW, is_number
from vpn_frontend.auth.oidc.signing_keys import (
    KEYS_PAUSE,
    LIFETIME,
    ProviderError,
    SigningKeys,
    TokenError,
    endpoint_of,
    renewed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vpn_frontend.auth.oidc.identity import Identity
    from vpn_frontend.auth.oidc.signing_keys import Documents

FILE_LIFETIME = 1.0  # seconds that keys and metadata of files are used without reading them again
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})  # RFC 7519, section 5.1; RFC 9068, section 2.1


@dataclass(frozen=True, slots=True)
class BearerRules:
    """What a token has to be. ``required``: claims beside ``aud`` with their exact values; ``iss`` may be one.

    ``dated``: it has to say when it was issued and from when on it holds.
    """

    configuration_url: str
    audience: str
    claims: OidcClaims = field(default_factory=OidcClaims)
    required: Mapping[str, object] = field(default_factory=dict)
    dated: bool = False


class BearerTokens:
    """``clock`` is monotonic, ``wall_clock`` Unix."""

    def __init__(
        self,
        rules: BearerRules,
        documents: Documents,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._documents = documents
        self._clock = clock
        self._wall_clock = wall_clock
        is_file = file_of_url(rules.configuration_url) is not None
        self._lifetime = FILE_LIFETIME if is_file else LIFETIME
        self._keys = SigningKeys(
            documents, clock, TYPES, lifetime=self._lifetime, pause=min(self._lifetime, KEYS_PAUSE)
        )
        self._metadata: dict[str, Any] = {}
        self._metadata_until = float("-inf")

    async def check(self, token: str) -> Identity:
        """Whom the token is of. Raises ``TokenError`` for one that is not acceptable, else ``ProviderError``."""
        if self._clock() >= self._metadata_until:
            await self._discover()
        claims = await self._keys.verify(token, self._keys_url())
        wrong = [name for name, is_wrong in self._judge(claims) if is_wrong]
        if wrong:
            raise TokenError(f"the token has a wrong {', '.join(wrong)}")
        try:
            return read_identity(claims, self._rules.claims)
        except ProviderError as error:
            raise TokenError(str(error)) from error

    def _keys_url(self) -> str:
        """Keys are in a file only if the metadata are. Raises ``ProviderError``."""
        url = self._metadata.get("jwks_uri")
        is_file = isinstance(url, str) and file_of_url(url) is not None
        if is_file and file_of_url(self._rules.configuration_url) is not None:
            return str(url)
        return endpoint_of(self._metadata, "jwks_uri")

    async def _discover(self) -> None:
        """Raises ``ProviderError`` only if there is no metadata of before."""
        asking = self._documents.ask("GET", self._rules.configuration_url)
        former = self._metadata
        if former:
            self._metadata_until = self._clock() + KEYS_PAUSE  # other logins go on with it meanwhile
            self._metadata = await renewed(asking, former)
        else:
            self._metadata = await asking
        if self._metadata is not former:
            self._metadata_until = self._clock() + self._lifetime

    def _judge(self, claims: Mapping[str, Any]) -> list[tuple[str, bool]]:
        now, audience, required = self._wall_clock(), claims.get("aud"), self._rules.required
        expires, begins, issued = (claims.get(name) for name in ("exp", "nbf", "iat"))
        issuer = required.get("iss", self._metadata.get("issuer"))
        return [
            ("iss", not isinstance(issuer, str) or claims.get("iss") != issuer),
            ("aud", self._rules.audience not in (audience if isinstance(audience, list) else [audience])),
            ("exp", not is_number(expires) or expires <= now - SKEW),
            ("nbf", (self._rules.dated or begins is not None) and (not is_number(begins) or begins > now + SKEW)),
            ("iat", (self._rules.dated or issued is not None) and (not is_number(issued) or issued > now + SKEW)),
            *((name, not _is_same(claims.get(name), value)) for name, value in required.items() if name != "iss"),
        ]


def _is_same(found: object, value: object) -> bool:
    """In JSON ``true`` is no 1."""
    return found == value and isinstance(found, bool) is isinstance(value, bool)
