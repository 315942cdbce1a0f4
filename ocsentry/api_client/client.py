# SPDX-License-Identifier: GPL-3.0-or-later
"""Speaks HTTP with the running server, over its Unix socket: who may open the socket may do everything."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import httpx

from admin_api.http.paths import API_PREFIX
from ocsentry.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUEST_TIMEOUT = 60.0  # seconds; a policy of a million prefixes takes a few to compile
CONNECT_TIMEOUT = 2.0  # seconds; the socket is on this host
BASE = f"http://ocsentry{API_PREFIX}/"
PAGE = 200  # rows asked for at a time
MAX_PAGES = 5_000
NOT_RUNNING = 3  # exit code, as systemctl's for a unit that is not active


class ClientError(OperatorError):
    """The server said no, or is not there."""


class ApiClient:
    """The API's resources by verbs; where the requests go is up to the subclass.

    Every method raises ``ClientError`` with the server's own words where it says no.
    """

    def send(self, request: httpx.Request) -> httpx.Response:
        """Exchange one request, and read the whole answer."""
        raise NotImplementedError

    def get(self, resource: str, **query: object) -> Any:  # noqa: ANN401 - a JSON document
        return self._ask("GET", resource, query=query)

    def post(self, resource: str, body: object = None, **query: object) -> Any:  # noqa: ANN401
        return self._ask("POST", resource, body=body, query=query)

    def put(self, resource: str, body: object) -> Any:  # noqa: ANN401
        return self._ask("PUT", resource, body=body)

    def delete(self, resource: str) -> Any:  # noqa: ANN401
        return self._ask("DELETE", resource)

    def items(self, resource: str, **query: object) -> list[dict[str, Any]]:
        """All rows of a list, page by page."""
        rows: list[dict[str, Any]] = []
        for _ in range(MAX_PAGES):
            page = self.get(resource, limit=PAGE, **query)
            rows += page["items"]
            if not page.get("next_cursor"):
                return rows
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
    ) -> httpx.Response:
        answer = self.send(httpx.Request(method, BASE + resource, params=_query(query or {}), json=body))
        if answer.is_error:
            raise ClientError(problem_text(answer))
        return answer


class SocketClient(ApiClient):
    """A running server."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def running(self) -> bool:
        """Whether somebody listens on the socket."""
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

    def send(self, request: httpx.Request) -> httpx.Response:
        try:
            with self._http(REQUEST_TIMEOUT) as http:
                return http.send(request)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def stream(self, resource: str, *, after: str | None = None, follow: bool = True) -> Iterator[dict[str, Any]]:
        """The data of server-sent events, as they come; from behind the id ``after``, where one is given.

        Ends with the last one that has happened, unless it is to ``follow``.
        """
        headers, query = {} if after is None else {"Last-Event-ID": after}, _query({"follow": follow})
        timeout = None if follow else REQUEST_TIMEOUT
        try:
            with (
                self._http(timeout) as http,
                http.stream("GET", BASE + resource, params=query, headers=headers) as answer,
            ):
                if answer.is_error:
                    answer.read()
                    raise ClientError(problem_text(answer))
                yield from parse_events(answer.iter_lines())
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
    """Parameters that are given, with switches spelt as JSON does."""
    given = {key: value for key, value in query.items() if value is not None}
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in given.items()}


def problem_text(answer: httpx.Response) -> str:
    """The sentence in a problem document (RFC 9457), with the places that it lists."""
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
    """The JSON documents in a ``text/event-stream``; this server sends each in one ``data`` line."""
    for line in lines:
        name, _, value = line.partition(":")
        if name == "data":
            yield json.loads(value)
