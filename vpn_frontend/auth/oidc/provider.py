# SPDX-License-Identifier: GPL-3.0-or-later
"""The OpenID provider: its metadata, the exchange of a code, and the check of an ID token.

The code flow of OpenID Connect Core 1.0 with PKCE.
"""

from __future__ import annotations

import base64
import hashlib
import time
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import urlencode, urlsplit

from vpn_frontend.auth.oidc.signing_keys import (
    ProviderDocuments,
    ProviderError,
    SigningKeys,
    endpoint_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from vpn_frontend.auth.oidc.client import OidcClient

SKEW = 60.0  # seconds between the clocks of provider and server
METADATA_LIFETIME = 3600.0  # seconds


class OidcProvider:
    """``http`` follows no redirects. ``clock`` is monotonic, ``wall_clock`` Unix."""

    def __init__(
        self,
        issuer: str,
        client: OidcClient,
        http: httpx.AsyncClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._client = client
        self._documents = ProviderDocuments(http)
        self._clock = clock
        self._wall_clock = wall_clock
        self._metadata: dict[str, Any] = {}
        self._metadata_until = float("-inf")
        self._keys = SigningKeys(self._documents, clock)

    async def authorization_url(
        self,
        *,
        redirect_uri: str,
        state: str,
        nonce: str,
        verifier: str,
        scopes: Sequence[str],
        again: bool = False,
    ) -> str:
        """Where the browser goes. ``again``: also who is known there signs in once more. Raises ``ProviderError``.

        ``verifier``: of PKCE; the URL has its S256 challenge (RFC 7636, section 4.2).
        """
        endpoint = endpoint_of(await self._discover(), "authorization_endpoint")
        query = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(dict.fromkeys(("openid", *scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
            **({"prompt": "login", "max_age": "0"} if again else {}),
        }
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"

    async def fetch_claims(
        self, *, code: str, verifier: str, redirect_uri: str, nonce: str, proved_since: float | None = None
    ) -> Mapping[str, Any]:
        """The claims of the ID token for ``code``, verified. Raises ``ProviderError``.

        ``proved_since``: Unix time after which the person must have signed in at the provider (``auth_time``).
        """
        metadata = await self._discover()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self._client.id,
            "code_verifier": verifier,
        }
        endpoint = endpoint_of(metadata, "token_endpoint")
        proof, auth = self._client.authenticate(endpoint, self._wall_clock())
        answer = await self._documents.ask("POST", endpoint, data=form | proof, auth=auth)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise ProviderError("the token endpoint returned no ID token")
        claims = await self._keys.verify(token, endpoint_of(metadata, "jwks_uri"))
        self._check_claims(claims, nonce)
        proved = claims.get("auth_time")
        if proved_since is not None and (not is_number(proved) or proved < proved_since - SKEW):
            raise ProviderError("the ID token has no auth_time after the request: the provider did not ask once more")
        return claims

    async def _discover(self) -> dict[str, Any]:
        if self._clock() >= self._metadata_until:
            metadata = await self._documents.ask("GET", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            if metadata.get("issuer") != self._issuer:
                raise ProviderError(f"its metadata is of the issuer {str(metadata.get('issuer'))[:200]!r}")
            self._metadata, self._metadata_until = metadata, self._clock() + METADATA_LIFETIME
        return self._metadata

    def _check_claims(self, claims: Mapping[str, Any], nonce: str) -> None:
        now, audience = self._wall_clock(), claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        expires, issued, begins = (claims.get(name) for name in ("exp", "iat", "nbf"))
        problems = {
            "iss": claims.get("iss") != self._issuer,
            "aud": self._client.id not in audiences,
            "azp": (len(audiences) > 1 or "azp" in claims) and claims.get("azp") != self._client.id,
            "exp": not is_number(expires) or expires <= now - SKEW,
            "iat": not is_number(issued) or issued > now + SKEW,
            "nbf": begins is not None and (not is_number(begins) or begins > now + SKEW),
            "nonce": claims.get("nonce") != nonce,
            "sub": not isinstance(claims.get("sub"), str) or not claims["sub"],
        }
        wrong = [name for name, is_wrong in problems.items() if is_wrong]
        if wrong:
            raise ProviderError(f"the ID token has a wrong {', '.join(wrong)}")


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
