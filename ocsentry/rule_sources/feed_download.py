# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads one block list over HTTP or HTTPS, within bounds of time, size and place.

Redirects are followed here, each with the checks of the first URL. gzip is decompressed as it arrives, never past the
limit. Proxies of the environment are not used: behind one, the address could not be checked.
"""

from __future__ import annotations

import base64
import time
import zlib
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

import httpcore
import httpx

from admin_api.progress import advance
from ocsentry.outbound.allowed_addresses import AllowedAddresses, resolve
from ocsentry.outbound.checked_backend import CheckedBackend
from sentry_engine.policy.feeds import Fetched, hide_login

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ocsentry.outbound.allowed_addresses import Resolver
    from vpn_frontend.settings import Network

SCHEMES = {"http": 80, "https": 443}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
SILENCE = 20.0  # seconds without data that end a download
WHOLE = 120.0  # seconds that a download with all its redirects may take
CHUNK = 65_536  # bytes decompressed at a time
GZIP = 31  # window bits of zlib that accept gzip only


class HttpFetcher:
    """A ``FeedFetcher`` over HTTP and HTTPS."""

    def __init__(
        self,
        networks: Sequence[Network] = (),
        *,
        resolver: Resolver = resolve,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``networks`` may be downloaded from beside public addresses."""
        self._networks = networks
        self._resolver = resolver
        self._clock = clock

    def fetch(self, url: str, *, etag: str | None, max_bytes: int) -> Fetched:
        """Returns a complete list, or no content if it has not changed. Raises ``OSError`` otherwise."""
        try:
            target = _parse(url)
            allowed = AllowedAddresses(self._networks, _literal(target), self._resolver)
            backend = CheckedBackend(allowed, self._clock, WHOLE)
            with httpcore.ConnectionPool(network_backend=backend) as pool:
                return _follow(pool, target, etag, max_bytes)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise OSError(f"{hide_login(url)}: {str(error) or type(error).__name__}") from error
        except httpx.InvalidURL as error:  # whose text may name a part of the login
            raise OSError(f"{hide_login(url)}: not a valid URL") from error
        except (httpcore.UnsupportedProtocol, UnicodeError, zlib.error) as error:
            raise OSError(f"{hide_login(url)}: {error}") from error


def _follow(pool: httpcore.ConnectionPool, target: httpx.URL, etag: str | None, max_bytes: int) -> Fetched:
    first = target
    for _ in range(MAX_REDIRECTS + 1):
        with _request(pool, target, etag, with_login=_origin(target) == _origin(first)) as answer:
            headers = httpx.Headers(answer.headers)
            if answer.status == httpx.codes.NOT_MODIFIED:
                return Fetched(None, etag)
            if answer.status == httpx.codes.OK:
                body = _read_bounded(answer.iter_stream(), headers, max_bytes)
                return Fetched(body, headers.get("etag"))
            if answer.status not in REDIRECTS or "location" not in headers:
                raise OSError(f"{_shown(target)} answered {answer.status}")
            onward = _parse(str(target.join(headers["location"])))
            if target.scheme == "https" and onward.scheme != "https":
                raise OSError(f"{_shown(target)} redirects from https to {onward.scheme}")
            target = onward
    raise OSError(f"{_shown(first)} redirects more than {MAX_REDIRECTS} times")


@contextmanager
def _request(
    pool: httpcore.ConnectionPool, target: httpx.URL, etag: str | None, *, with_login: bool
) -> Iterator[httpcore.Response]:
    headers = [("Accept-Encoding", "gzip"), ("User-Agent", "ocsentry")]
    if etag:
        headers.append(("If-None-Match", etag))
    if with_login and target.userinfo:
        headers.append(("Authorization", "Basic " + base64.b64encode(_login(target)).decode()))
    url = httpcore.URL(scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path or b"/")
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), SILENCE)
    with pool.stream("GET", url, headers=headers, extensions={"timeout": timeouts}) as answer:
        yield answer


def _read_bounded(chunks: Iterable[bytes], headers: httpx.Headers, max_bytes: int) -> bytes:
    """Returns the decompressed body. Raises ``OSError`` as soon as it has more than ``max_bytes``."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip", ""}:
        raise OSError(f"the content encoding {encoding[:32]!r} is not supported")
    announced = headers.get("content-length", "")
    too_large = OSError(f"the list is larger than {max_bytes} bytes")
    if announced.isdecimal() and len(announced) < 20 and int(announced) > max_bytes:
        raise too_large
    gzip = "gzip" in encoding
    body = bytearray()
    if announced.isdecimal() and 0 < len(announced) < 20:
        chunks = _tell_progress(chunks, int(announced))
    for chunk in _decompress(chunks) if gzip else chunks:
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)


def _tell_progress(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yields ``chunks`` of a body of ``size`` bytes."""
    received = 0
    for chunk in chunks:
        received += len(chunk)
        advance(received, size)
        yield chunk


def _decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yields at most ``CHUNK`` bytes at a time. Raises ``OSError`` for a body that is cut off."""
    member = zlib.decompressobj(GZIP)
    begun = False
    for chunk in chunks:
        rest = chunk
        while rest:
            if member.eof:
                member = zlib.decompressobj(GZIP)
            begun = True
            yield member.decompress(rest, CHUNK)
            rest = member.unused_data if member.eof else member.unconsumed_tail
    if begun and not member.eof:
        raise OSError("the compressed list is cut off")


def _parse(text: str) -> httpx.URL:
    url = httpx.URL(text)
    if url.scheme not in SCHEMES or not url.host:
        raise OSError(f"{_shown(url)} is no http or https URL")
    return url


def _literal(url: httpx.URL) -> tuple[str, int] | None:
    """Returns the address and port of a URL that names an address instead of a host."""
    try:
        ip_address(url.host)
    except ValueError:
        return None
    return _origin(url)[1:]


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or SCHEMES.get(url.scheme, 0)


def _login(url: httpx.URL) -> bytes:
    return f"{url.username}:{url.password}".encode()


def _shown(url: httpx.URL) -> str:
    """Returns the URL without its password."""
    return str(url.copy_with(userinfo=b""))[:200]
