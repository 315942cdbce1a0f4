# SPDX-License-Identifier: GPL-3.0-or-later
"""One ACME server: its directory, nonces, signed requests, and its refusals in words (RFC 8555)."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from ocsentry.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ocsentry.acme.jws import AccountKey

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
REQUEST_TIMEOUT = 30.0  # seconds
MAX_ANSWER = 1024 * 1024  # bytes; a long chain has 20 KB
NONCE_ATTEMPTS = 10  # a server may refuse a nonce at any time (RFC 8555 section 6.5)
BAD_NONCE = "urn:ietf:params:acme:error:badNonce"
NEEDED = ("newNonce", "newAccount", "newOrder")


class AcmeError(OperatorError):
    """The ACME server refused, or could not be reached. The text names it and the cause."""


class Answer:
    """What the server answered: ``document`` is empty where the body is no JSON object."""

    def __init__(self, response: httpx.Response) -> None:
        self.headers = response.headers
        self.content = response.content
        self.location = str(response.headers.get("location", ""))
        try:
            document = response.json()
        except ValueError:
            document = None
        self.document: dict[str, Any] = document if isinstance(document, dict) else {}


class AcmeServer:
    """Sends the requests of one account. ``account``: its URL, once it is known."""

    def __init__(self, directory: str, key: AccountKey, client: httpx.Client) -> None:
        self._directory_url, self.key, self._client = directory, key, client
        self.account: str | None = None
        self._nonce: str | None = None
        self.directory = self._read_directory()

    @property
    def terms(self) -> str:
        """The URL of the terms of service; empty: there are none."""
        return str(self._meta().get("termsOfService", ""))

    @property
    def needs_binding(self) -> bool:
        return bool(self._meta().get("externalAccountRequired", False))

    def post(self, url: str, payload: object = None, *, with_key: bool = False) -> Answer:
        """POST ``payload``, ``None``: POST-as-GET. Raises ``AcmeError``."""
        for _ in range(NONCE_ATTEMPTS):
            body = self.key.sign(url, self._take_nonce(), payload, None if with_key else self.account)
            response = self._send("POST", url, json=body, headers={"Content-Type": "application/jose+json"})
            self._nonce = response.headers.get("replay-nonce")
            if not response.is_error:
                return Answer(response)
            problem = Answer(response).document
            if problem.get("type") != BAD_NONCE:
                break
        raise AcmeError(f"{self._host(url)} refuses: {describe_problem(problem) or f'HTTP {response.status_code}'}")

    def _meta(self) -> Mapping[str, Any]:
        meta = self.directory.get("meta")
        return meta if isinstance(meta, dict) else {}

    def _read_directory(self) -> dict[str, Any]:
        response = self._send("GET", self._directory_url)
        document = Answer(response).document
        if response.is_error or not all(isinstance(document.get(name), str) for name in NEEDED):
            raise AcmeError(f"{self._directory_url} is no ACME directory (HTTP {response.status_code})")
        return document

    def _take_nonce(self) -> str:
        nonce, self._nonce = self._nonce, None
        if nonce is None:
            nonce = self._send("HEAD", self.directory["newNonce"]).headers.get("replay-nonce")
        if not nonce:
            raise AcmeError(f"{self._host(self._directory_url)} gives no nonce")
        return nonce

    def _send(self, method: str, url: str, **content: Any) -> httpx.Response:  # noqa: ANN401 - of httpx
        try:
            with self._client.stream(method, url, **content) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise AcmeError(f"{self._host(url)} answers with more than {MAX_ANSWER} bytes")
                # Rebuilt, so that its body can be read like that of any other answer. It is decoded already.
                headers = [(k, v) for k, v in response.headers.multi_items() if k.lower() not in _TRANSPORT]
                return httpx.Response(response.status_code, headers=headers, content=bytes(body))
        except httpx.HTTPError as error:
            raise AcmeError(f"{self._host(url)} cannot be reached: {error or type(error).__name__}") from error
        except httpx.InvalidURL as error:
            raise AcmeError(f"{url}: {error}") from error

    @staticmethod
    def _host(url: str) -> str:
        return httpx.URL(url).host or url


_TRANSPORT = {"content-encoding", "content-length", "transfer-encoding"}


@contextmanager
def open_client(authorities: Path | None, version: str) -> Iterator[httpx.Client]:
    """An HTTP client that trusts the system's authorities, or those of a file in PEM form. Raises ``AcmeError``."""
    try:
        context = ssl.create_default_context(cafile=None if authorities is None else str(authorities))
    except (OSError, ssl.SSLError) as error:
        raise AcmeError(f"{authorities}: {getattr(error, 'strerror', None) or error}") from error
    with httpx.Client(
        verify=context, timeout=REQUEST_TIMEOUT, headers={"User-Agent": f"ocsentry/{version}"}, follow_redirects=False
    ) as client:
        yield client


def describe_problem(problem: Mapping[str, Any]) -> str:
    """Returns a problem document (RFC 8555 section 6.7) as one line, its subproblems included."""
    kind = str(problem.get("type", "")).rpartition(":")[2]
    identifier = problem.get("identifier")
    name = f"{identifier.get('value')}: " if isinstance(identifier, dict) else ""
    text = f"{name}{problem.get('detail') or kind}" + (f" ({kind})" if problem.get("detail") and kind else "")
    more = [describe_problem(one) for one in problem.get("subproblems") or () if isinstance(one, dict)]
    return "; ".join([text, *more]).replace("\n", " ")
