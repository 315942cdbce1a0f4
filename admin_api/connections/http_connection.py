# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP connection, with deadlines for the head and the body of each request and for reading the answer.

A request that misses its deadline is answered with 408, and the connection is closed. Malformed HTTP is answered with
400. Both are problem documents (RFC 9457).
"""

from __future__ import annotations

import json
from enum import Enum, auto
from typing import TYPE_CHECKING

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from admin_api.connections.gathered_writes import GatheredWrites
from admin_api.http.paths import PROBLEMS_PATH, STREAMED_PATHS
from admin_api.http.problems import MEDIA_TYPE, ProblemKind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    import uvicorn

HEAD_TIME = 10.0  # seconds from the connection, or the first byte of a later request, until its head is complete
BODY_TIME = 30.0  # seconds from the head until the body is complete: 4 MiB at 1.2 Mbit/s
READ_TIME = 30.0  # seconds that a full send buffer may stay full


class Phase(Enum):
    """What the connection waits for."""

    IDLE = auto()  # the next request; the keep-alive time runs
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()


TIMES = {Phase.HEAD: HEAD_TIME, Phase.BODY: BODY_TIME}


class HttpConnection(H11Protocol):
    """An ``Occupant`` of ``Places``. ``ended`` is called once when the connection is lost."""

    def __init__(self, server: uvicorn.Server, ended: Callable[[HttpConnection], None]) -> None:
        """``server`` must be running: the connection uses its configuration and state."""
        super().__init__(server.config, server.server_state, {})
        self._ended = ended
        self._deadline: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._timed: object = None  # the phase, and the request before it, that the deadline belongs to

    def waits_for_peer(self) -> bool:
        return self._phase() is not Phase.ANSWER

    def leave(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(GatheredWrites(transport, self.loop))  # type: ignore[arg-type]
        self._follow()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._streams():
            self._timed = None  # each part of a streamed body has the time of a whole one
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self.loop.call_later(READ_TIME, self.leave)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        _cancel(self._deadline)
        _cancel(self._reading)
        self._ended(self)

    def send_400_response(self, msg: str) -> None:
        self._refuse(ProblemKind.BAD_REQUEST, msg)

    def _phase(self) -> Phase:
        if self.conn.their_state is h11.SEND_BODY:
            return Phase.BODY
        if self.cycle is not None and not self.cycle.response_complete:
            return Phase.ANSWER
        return Phase.IDLE if self.cycle is not None and not self.conn.trailing_data[0] else Phase.HEAD

    def _follow(self) -> None:
        """Set the deadline of the present phase, unless it runs already."""
        phase = self._phase()
        timed = (phase, self.cycle)
        if timed == self._timed:
            return
        self._timed = timed
        _cancel(self._deadline)
        self._deadline = None
        if phase in TIMES:
            self._deadline = self.loop.call_later(TIMES[phase], self._miss_deadline)

    def _streams(self) -> bool:
        return self._phase() is Phase.BODY and self.scope is not None and self.scope["path"] in STREAMED_PATHS

    def _miss_deadline(self) -> None:
        if self._streams() and self.flow is not None and self.flow.read_paused:
            self._timed = None  # the server itself is behind
            self._follow()
            return
        self._refuse(ProblemKind.REQUEST_TIMEOUT, "The request was not complete in time")

    def _refuse(self, kind: ProblemKind, detail: str) -> None:
        """Answer without the application, if no answer has begun, and close."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            facts = {"type": f"{PROBLEMS_PATH}/{kind.code}", "title": kind.title, "status": kind.status.value}
            body = json.dumps(facts | {"detail": detail, "code": kind.code, "instance": ""}).encode()
            headers = [
                ("content-type", MEDIA_TYPE),
                ("content-length", str(len(body))),
                ("cache-control", "no-store"),
                ("connection", "close"),
            ]
            answer = h11.Response(status_code=kind.status.value, headers=headers, reason=kind.status.phrase)
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
