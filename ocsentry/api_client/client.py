# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the running server's API, over its Unix socket. A user who may open the socket has every scope."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from admin_api.http.paths import API_PREFIX
from ocsentry.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

REQUEST_TIMEOUT = 60.0  # seconds; a policy of a million prefixes takes a few seconds to compile
CONNECT_TIMEOUT = 2.0  # seconds; the socket is on this host
BASE = f"http://ocsentry{API_PREFIX}/"
PAGE = 200  # rows per request
MAX_PAGES = 5_000
ANY_VERSION = {"If-Match": "*"}
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7), struct ucred)
NOT_RUNNING = 3  # exit code, as systemctl's for a unit that is not active


class ClientError(OperatorError):
    """The server refused the request or is not running."""


class ApiClient:
    """Sends requests to the API; a subclass implements ``send``.

    Every method raises ``ClientError`` with the server's text if the server refuses.
    """

    def send(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Returns the answer, read completely."""
        raise NotImplementedError

    def get(self, resource: str, **query: object) -> Any:  # noqa: ANN401 - a JSON document
        return self._ask("GET", resource, query=query)

    def post(self, resource: str, body: object = None, *, etag: str | None = None, **query: object) -> Any:  # noqa: ANN401
        """``etag`` is sent as If-Match: the change is refused if another caller was faster."""
        headers = None if etag is None else {"If-Match": etag}
        return self._ask("POST", resource, body=body, query=query, headers=headers)

    def etag(self, resource: str) -> str:
        """Returns the ETag of a resource."""
        return str(self._exchange("GET", resource).headers["etag"])

    def patch(self, resource: str, patch: object, **query: object) -> Any:  # noqa: ANN401
        """Change what a merge patch names, whatever the rest is meanwhile."""
        return self._ask("PATCH", resource, body=patch, query=query, headers=ANY_VERSION)

    def put(self, resource: str, body: object, etag: str, **query: object) -> Any:  # noqa: ANN401
        """Replace what still has ``etag``."""
        return self._ask("PUT", resource, body=body, query=query, headers={"If-Match": etag})

    def delete(self, resource: str, **query: object) -> Any:  # noqa: ANN401
        return self._ask("DELETE", resource, query=query, headers=ANY_VERSION)

    def items(self, resource: str, **query: object) -> list[dict[str, Any]]:
        """Returns all rows of a list, read page by page."""
        return list(self.each(resource, **query))

    def each(self, resource: str, **query: object) -> Iterator[dict[str, Any]]:
        """Yields the rows of a list. A page is read when its first row is wanted."""
        for _ in range(MAX_PAGES):
            page = self.get(resource, limit=PAGE, **query)
            yield from page["items"]
            if not page.get("next_cursor"):
                return
            query["cursor"] = page["next_cursor"]
        raise ClientError(f"{resource}: more than {MAX_PAGES * PAGE} rows")

    def _ask(self, method: str, resource: str, **content: Any) -> Any:  # noqa: ANN401
        answer = self._exchange(method, resource, **content)
        return answer.json() if answer.content else None

    def _exchange(
        self,
        method: str,
        resource: str,
        *,
        body: object = None,
        query: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        request = httpx.Request(method, BASE + resource, params=_query(query or {}), json=body, headers=headers)
        answer = self.send(request)
        if answer.is_error:
            raise ClientError(problem_text(answer))
        return answer


class SocketClient(ApiClient):
    """The API of a running server. ``timeout``: seconds that a request may wait for the next byte."""

    def __init__(self, path: Path, timeout: float = REQUEST_TIMEOUT) -> None:
        self._path, self._timeout = path, timeout

    def running(self) -> bool:
        """True if a server listens on the socket. Raises ``ClientError`` without permission."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_TIMEOUT)
            try:
                probe.connect(str(self._path))
            except PermissionError:
                raise ClientError(
                    f"{self._path}: permission denied: run this as root or as the server's user"
                ) from None
            except OSError:
                return False
        return True

    def server_process(self) -> int:
        """The process id of the server, as the kernel knows it.

        Raises ``ClientError`` if none listens, or if it is not visible from here.
        """
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_TIMEOUT)
            try:
                probe.connect(str(self._path))
                credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
            except OSError as error:
                raise ClientError(f"{self._path}: {error.strerror or error}", exit_code=NOT_RUNNING) from error
        process = int(CREDENTIALS.unpack(credentials)[0])
        if process <= 1:  # 0: it lives in another PID namespace; a signal to 0 would go to the caller's own group
            raise ClientError(f"{self._path}: the process of its server is not visible from here")
        return process

    def send(self, request: httpx.Request) -> httpx.Response:
        try:
            with self._http(self._timeout) as http:
                return http.send(request)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def upload(
        self, resource: str, content: Iterable[bytes], *, media_type: str, length: int | None = None, **query: object
    ) -> Any:  # noqa: ANN401 - a JSON document
        """Send a body as it comes. The server reads it as fast as it works on it."""
        headers = {"Content-Type": media_type} | ({} if length is None else {"Content-Length": str(length)})
        answer = self.send(
            httpx.Request("POST", BASE + resource, params=_query(query), content=content, headers=headers)
        )
        if answer.is_error:
            raise ClientError(problem_text(answer))
        return answer.json()

    def download(self, resource: str, **query: object) -> Iterator[str]:
        """Yields the parts of a text as they come."""
        with self._answer(resource, _query(query), {}, self._timeout) as answer:
            yield from answer.iter_text()

    def stream(self, resource: str, *, after: str | None = None, follow: bool = True) -> Iterator[dict[str, Any]]:
        """Yields the data of server-sent events, starting after the id ``after`` if it is given.

        Ends after the latest event unless ``follow`` is true.
        """
        headers, query = {} if after is None else {"Last-Event-ID": after}, _query({"follow": follow})
        with self._answer(resource, query, headers, None if follow else self._timeout) as answer:
            yield from parse_events(answer.iter_lines())

    @contextmanager
    def _answer(
        self, resource: str, query: dict[str, str], headers: dict[str, str], timeout: float | None
    ) -> Iterator[httpx.Response]:
        """Yields an answer whose body is read as it comes."""
        try:
            with (
                self._http(timeout) as http,
                http.stream("GET", BASE + resource, params=query, headers=headers) as answer,
            ):
                if answer.is_error:
                    answer.read()
                    raise ClientError(problem_text(answer))
                yield answer
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _http(self, timeout: float | None) -> httpx.Client:
        limits = httpx.Timeout(timeout, connect=CONNECT_TIMEOUT)
        return httpx.Client(transport=httpx.HTTPTransport(uds=str(self._path)), timeout=limits)

    def _unreachable(self, error: httpx.TransportError) -> ClientError:
        if not self.running():
            text = f"no server answers at {self._path} (start one with 'ocsentry serve')"
            return ClientError(text, exit_code=NOT_RUNNING)
        return ClientError(f"{self._path}: {str(error) or type(error).__name__}")


def _query(query: dict[str, object]) -> dict[str, str]:
    """Returns the parameters that are not ``None``, with booleans as ``true`` and ``false``."""
    given = {key: value for key, value in query.items() if value is not None}
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in given.items()}


def problem_text(answer: httpx.Response) -> str:
    """Returns the text of a problem document (RFC 9457), with the locations of its errors."""
    try:
        document = answer.json()
        text = str(document.get("detail") or document["title"])
        places = [_place(error) for error in document.get("errors", ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"the server answered {answer.status_code} {answer.reason_phrase}"
    return "\n".join([text, *(place for place in places if place not in text)])


def _place(error: dict[str, Any]) -> str:
    where = " ".join(str(error[key]) for key in ("file", "pointer") if error.get(key))
    return f"{where}: {error['detail']}" if where else str(error["detail"])


def parse_events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yields the JSON documents of a ``text/event-stream``; this server sends each in one ``data`` line."""
    for line in lines:
        name, _, value = line.partition(":")
        if name == "data":
            yield json.loads(value)
