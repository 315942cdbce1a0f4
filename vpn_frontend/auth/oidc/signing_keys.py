# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider's documents, and its keys that tokens are verified with.

Signatures with a key of the provider only: neither ``none`` nor HMAC. Keys are fetched again for a token that they do
not verify, at most once a minute, and each hour: one that the provider has withdrawn verifies nothing then. A provider
that does not answer holds up no login that the former keys verify. Answers are bounded, redirects are refused.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from vpn_frontend.auth.oidc.claims import is_secure_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
MAX_ANSWER = 256 * 1024  # bytes
MAX_KEYS = 64
KEYS_PAUSE = 60.0  # seconds between two fetches of the keys
LIFETIME = 3600.0  # seconds that keys and metadata are used without asking again
RENEWAL = 5.0  # seconds that a login waits for what replaces former ones
MAX_REQUESTS = 16  # at the provider at a time
DocumentT = TypeVar("DocumentT")
UNREADABLE = (JoseError, ValueError, TypeError, KeyError)


class ProviderError(Exception):
    """The provider cannot be used, or what it says is not acceptable. The text is for the log."""


class TokenError(ProviderError):
    """A token that the provider's keys do not verify, or whose claims are not acceptable."""


class Documents(Protocol):
    """Where a provider's documents come from."""

    async def ask(self, method: str, url: str, **content: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's own
        """One JSON object. Raises ``ProviderError``, and httpx's errors of a provider that is away."""


class ProviderDocuments:
    """``http`` follows no redirects."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._places = asyncio.Semaphore(MAX_REQUESTS)

    async def ask(self, method: str, url: str, **content: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's own
        """The JSON object of an answer. Raises ``ProviderError``, and httpx's errors of a provider that is away."""
        async with self._places, self._http.stream(method, url, **content) as answer:
            body = bytearray()
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > MAX_ANSWER:
                    raise ProviderError(f"{url}: an answer over {MAX_ANSWER} bytes")
        if answer.status_code != 200:
            raise ProviderError(f"{url}: answered {answer.status_code}")
        return parse_document(body, url)


def parse_document(body: bytes | bytearray, url: str) -> dict[str, Any]:
    """The JSON object that ``url`` has. Raises ``ProviderError``."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProviderError(f"{url}: not JSON") from error
    if not isinstance(document, dict):
        raise ProviderError(f"{url}: not a JSON object")
    return document


class SigningKeys:
    """``clock`` is monotonic. ``types``: values of ``typ`` in a token's header that count; ``None``: any.

    ``lifetime`` and ``pause`` (seconds) are ``LIFETIME`` and ``KEYS_PAUSE`` of a provider on the network.
    """

    def __init__(
        self,
        documents: Documents,
        clock: Callable[[], float],
        types: frozenset[str] | None = None,
        *,
        lifetime: float = LIFETIME,
        pause: float = KEYS_PAUSE,
    ) -> None:
        self._types = types
        self._lifetime, self._pause = lifetime, pause
        self._documents = documents
        self._clock = clock
        self._keys: KeySet | None = None
        self._keys_at = self._keys_until = float("-inf")

    async def verify(self, token: str, uri: str) -> dict[str, Any]:
        """The claims of a token with a signature by a key of ``uri``. Raises ``ProviderError``."""
        keys = self._keys or await self._fetch(uri)
        if self._clock() >= self._keys_until:
            self._keys_until = self._clock() + self._pause
            keys = await renewed(self._fetch(uri), keys)
        try:
            return self._read(token, keys)
        except UNREADABLE as error:
            if self._clock() - self._keys_at < self._pause:
                raise TokenError(f"the ID token cannot be verified: {error!r}") from error
        try:  # the provider may have changed its keys
            return self._read(token, await self._fetch(uri))
        except UNREADABLE as error:
            raise TokenError(f"the ID token cannot be verified: {error!r}") from error

    def _read(self, token: str, keys: KeySet) -> dict[str, Any]:
        """Raises ``UNREADABLE``, and ``TokenError`` for a verified token of another type."""
        found = jwt.decode(token, keys, algorithms=ALGORITHMS)
        kind = found.header.get("typ")
        if self._types is not None and kind is not None and str(kind).lower() not in self._types:
            raise TokenError(f"the token's type is {str(kind)[:32]!r}")
        return dict(found.claims)

    async def _fetch(self, uri: str) -> KeySet:
        self._keys_at = self._clock()
        found = (await self._documents.ask("GET", uri)).get("keys")
        if not isinstance(found, list) or len(found) > MAX_KEYS:
            raise ProviderError("its set of keys is none, or too large")
        usable = [key for key in found if isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP")]
        try:
            self._keys = KeySet.import_key_set({"keys": usable})
        except UNREADABLE as error:
            raise ProviderError(f"its set of keys cannot be read: {error!r}") from error
        self._keys_until = self._clock() + self._lifetime
        return self._keys


async def renewed(asking: Awaitable[DocumentT], former: DocumentT) -> DocumentT:
    """What the provider answers now; ``former`` if it does not, or nothing that can be used."""
    try:
        async with asyncio.timeout(RENEWAL):
            return await asking
    except (ProviderError, httpx.HTTPError, TimeoutError):
        return former


def endpoint_of(metadata: Mapping[str, Any], name: str) -> str:
    """A URL of the metadata. Raises ``ProviderError``."""
    url = metadata.get(name)
    if not isinstance(url, str) or not is_secure_url(url):
        raise ProviderError(f"its {name} is not an https URL")
    return url
