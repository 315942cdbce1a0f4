# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to one port of one server over UDP: identifiers, retransmission, deadlines.

An identifier belongs to one request at a time; a socket has 256. A further socket is opened when all are in use, up to
``MAX_SOCKETS``. A late answer cannot be taken for another request's: its authenticator covers that of its own request.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import field
from ipaddress import ip_address
from random import SystemRandom
from typing import TYPE_CHECKING, cast

from sentry_engine.records import dataclass
from vpn_frontend.radius.packets import Answer, AnswerError, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from vpn_frontend.radius.packets import Question
    from vpn_frontend.settings import Address, Endpoint

MAX_SOCKETS = 4  # requests beyond 4 * 256 at a time are refused
IDENTIFIERS = 256
JITTER = 0.1  # of each interval, RFC 5080 2.2.1
_random = SystemRandom()


class LinkError(Exception):
    """The server gave no answer. The text says why, for the operator."""


class LinkBusyError(LinkError):
    """All identifiers are in use. This says nothing about the server."""


@dataclass(frozen=True, slots=True)
class Target:
    """One port of one server. ``timeout`` is seconds for an answer, over ``retries`` repetitions."""

    endpoint: Endpoint
    secret: bytes = field(repr=False)
    require_message_authenticator: bool = True
    timeout: float = 15.0
    retries: int = 3

    def intervals(self) -> list[float]:
        """Seconds to wait after each try. Each is twice the one before (RFC 5080 2.2.1); together ``timeout``."""
        first = self.timeout / (2 ** (self.retries + 1) - 1)
        return [first * 2**number * (1 + _random.uniform(-JITTER, JITTER)) for number in range(self.retries + 1)]


@dataclass(slots=True)
class _Waiting:
    request: Request
    answer: asyncio.Future[Answer]
    fail_fast: bool


class _Socket(asyncio.DatagramProtocol):
    """One connected socket: the kernel drops datagrams of other senders."""

    def __init__(self, link: RadiusLink) -> None:
        self._link = link
        self._last = _random.randrange(IDENTIFIERS)
        self.waiting: dict[int, _Waiting] = {}
        self.transport: asyncio.DatagramTransport | None = None

    @property
    def is_full(self) -> bool:
        return len(self.waiting) == IDENTIFIERS

    def take_identifier(self) -> int:
        """The longest unused one. Requires ``not is_full``."""
        while True:
            self._last = (self._last + 1) % IDENTIFIERS
            if self._last not in self.waiting:
                return self._last

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - of the interface
        waiting = self.waiting.get(data[1]) if len(data) > 1 else None
        if waiting is None or waiting.answer.done():
            return  # late or repeated
        required = self._link.target.require_message_authenticator
        try:
            answer = waiting.request.read_answer(data, require_message_authenticator=required)
        except AnswerError as error:
            self._link.report_dropped(error)
        else:
            waiting.answer.set_result(answer)

    def error_received(self, exc: Exception) -> None:
        """The system reports what became of an earlier datagram, such as that nothing listens on the port."""
        for waiting in self.waiting.values():
            if waiting.fail_fast and not waiting.answer.done():
                waiting.answer.set_exception(LinkError(f"{self._link.target.endpoint}: {exc}"))


class RadiusLink:
    """``report_dropped`` gets each datagram's fault that came under the identifier of a waiting request."""

    def __init__(self, target: Target, report_dropped: Callable[[AnswerError], None]) -> None:
        self.target = target
        self.report_dropped = report_dropped
        self._sockets: list[_Socket] = []
        self._opening = asyncio.Lock()
        self.local_address: Address | None = None  # ours towards the server; known from the first request on

    async def ask(self, question: Question, *, fail_fast: bool) -> Answer:
        """The verified answer. Raises ``LinkError``, ``OSError``, and ``ValueError`` of a question not to be encoded.

        ``fail_fast``: do not try again when the system reports that the server's port is closed.
        """
        sock = await self._find_socket()
        identifier = sock.take_identifier()
        request = Request(self._with_own_address(question), identifier, self.target.secret)
        waiting = _Waiting(request, asyncio.get_running_loop().create_future(), fail_fast)
        sock.waiting[identifier] = waiting
        try:
            for interval in self.target.intervals():
                assert sock.transport is not None  # noqa: S101 - connected before it is listed
                sock.transport.sendto(request.data)
                await asyncio.wait({waiting.answer}, timeout=interval)
                if waiting.answer.done():
                    return waiting.answer.result()
        finally:
            del sock.waiting[identifier]
            waiting.answer.cancel()
        raise LinkError(f"{self.target.endpoint}: no answer in {self.target.timeout:g} seconds")

    def close(self) -> None:
        """Fail what waits, close the sockets."""
        for sock in self._sockets:
            for waiting in sock.waiting.values():
                if not waiting.answer.done():
                    waiting.answer.set_exception(LinkError(f"{self.target.endpoint}: the server is stopping"))
            if sock.transport is not None:
                sock.transport.close()
        self._sockets.clear()

    async def _find_socket(self) -> _Socket:
        async with self._opening:
            for sock in self._sockets:
                if not sock.is_full:
                    return sock
            if len(self._sockets) == MAX_SOCKETS:
                raise LinkBusyError(f"{self.target.endpoint}: {MAX_SOCKETS * IDENTIFIERS} requests wait for an answer")
            endpoint = self.target.endpoint
            _, sock = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Socket(self), remote_addr=(str(endpoint.address), endpoint.port)
            )
            self._sockets.append(sock)
            if sock.transport is not None and self.local_address is None:
                own: socket.socket = sock.transport.get_extra_info("socket")
                self.local_address = ip_address(own.getsockname()[0].partition("%")[0])
            return sock

    def _with_own_address(self, question: Question) -> Question:
        address = self.local_address
        if address is None:
            return question
        name = "NAS-IP-Address" if address.version == 4 else "NAS-IPv6-Address"
        return question.with_attributes(((name, str(address)),))
