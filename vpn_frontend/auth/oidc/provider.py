# SPDX-License-Identifier: GPL-3.0-or-later
"""The OpenID provider: its metadata and keys, the exchange of a code, and the check of an ID token.

The code flow of OpenID Connect Core 1.0 with PKCE. Signatures with a key of the provider only: neither ``none`` nor
HMAC. Keys are fetched again for an unknown key id, at most once a minute. Answers are bounded, redirects are refused.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from vpn_frontend.auth.oidc.claims import is_secure_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from vpn_frontend.auth.oidc.client import OidcClient

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
MAX_ANSWER = 256 * 1024  # bytes
MAX_KEYS = 64
SKEW = 60.0  # seconds between the clocks of provider and server
METADATA_LIFETIME = 3600.0  # seconds
KEYS_PAUSE = 60.0  # seconds between two fetches of the keys
MAX_REQUESTS = 16  # at the provider at a time


class ProviderError(Exception):
    """The provider cannot be used, or what it says is not acceptable. The text is for the log."""


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
        self._http = http
        self._clock = clock
        self._wall_clock = wall_clock
        self._metadata: dict[str, Any] = {}
        self._metadata_until = float("-inf")
        self._keys: KeySet | None = None
        self._keys_at = float("-inf")
        self._places = asyncio.Semaphore(MAX_REQUESTS)

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
        endpoint = self._endpoint(await self._discover(), "authorization_endpoint")
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
        endpoint = self._endpoint(metadata, "token_endpoint")
        proof, auth = self._client.authenticate(endpoint, self._wall_clock())
        answer = await self._ask("POST", endpoint, data=form | proof, auth=auth)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise ProviderError("the token endpoint returned no ID token")
        claims = await self._verify(token, self._endpoint(metadata, "jwks_uri"))
        self._check_claims(claims, nonce)
        proved = claims.get("auth_time")
        if proved_since is not None and (not _is_number(proved) or proved < proved_since - SKEW):
            raise ProviderError("the ID token has no auth_time after the request: the provider did not ask once more")
        return claims

    async def _discover(self) -> dict[str, Any]:
        if self._clock() >= self._metadata_until:
            metadata = await self._ask("GET", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            if metadata.get("issuer") != self._issuer:
                raise ProviderError(f"its metadata is of the issuer {str(metadata.get('issuer'))[:200]!r}")
            self._metadata, self._metadata_until = metadata, self._clock() + METADATA_LIFETIME
        return self._metadata

    async def _verify(self, token: str, jwks_uri: str) -> dict[str, Any]:
        keys = self._keys or await self._fetch_keys(jwks_uri)
        try:
            return dict(jwt.decode(token, keys, algorithms=ALGORITHMS).claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            if self._clock() - self._keys_at < KEYS_PAUSE:
                raise ProviderError(f"the ID token cannot be verified: {error!r}") from error
        try:  # the provider may have changed its keys
            return dict(jwt.decode(token, await self._fetch_keys(jwks_uri), algorithms=ALGORITHMS).claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise ProviderError(f"the ID token cannot be verified: {error!r}") from error

    async def _fetch_keys(self, uri: str) -> KeySet:
        self._keys_at = self._clock()
        found = (await self._ask("GET", uri)).get("keys")
        if not isinstance(found, list) or len(found) > MAX_KEYS:
            raise ProviderError("its set of keys is none, or too large")
        usable = [key for key in found if isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP")]
        try:
            self._keys = KeySet.import_key_set({"keys": usable})
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise ProviderError(f"its set of keys cannot be read: {error!r}") from error
        return self._keys

    def _check_claims(self, claims: Mapping[str, Any], nonce: str) -> None:
        now, audience = self._wall_clock(), claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        expires, issued, begins = (claims.get(name) for name in ("exp", "iat", "nbf"))
        problems = {
            "iss": claims.get("iss") != self._issuer,
            "aud": self._client.id not in audiences,
            "azp": (len(audiences) > 1 or "azp" in claims) and claims.get("azp") != self._client.id,
            "exp": not _is_number(expires) or expires <= now - SKEW,
            "iat": not _is_number(issued) or issued > now + SKEW,
            "nbf": begins is not None and (not _is_number(begins) or begins > now + SKEW),
            "nonce": claims.get("nonce") != nonce,
            "sub": not isinstance(claims.get("sub"), str) or not claims["sub"],
        }
        wrong = [name for name, is_wrong in problems.items() if is_wrong]
        if wrong:
            raise ProviderError(f"the ID token has a wrong {', '.join(wrong)}")

    def _endpoint(self, metadata: Mapping[str, Any], name: str) -> str:
        url = metadata.get(name)
        if not isinstance(url, str) or not is_secure_url(url):
            raise ProviderError(f"its {name} is not an https URL")
        return url

    async def _ask(self, method: str, url: str, **content: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's own
        async with self._places, self._http.stream(method, url, **content) as answer:
            body = bytearray()
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > MAX_ANSWER:
                    raise ProviderError(f"{url}: an answer over {MAX_ANSWER} bytes")
        if answer.status_code != 200:
            raise ProviderError(f"{url}: answered {answer.status_code}")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ProviderError(f"{url}: not JSON") from error
        if not isinstance(document, dict):
            raise ProviderError(f"{url}: not a JSON object")
        return document


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
