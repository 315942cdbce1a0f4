# SPDX-License-Identifier: GPL-3.0-or-later
"""Ordered servers of one purpose: the first that is not dead is asked, then the next."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.ports import VpnEvent
from vpn_frontend.radius.link import LinkBusyError, LinkError, RadiusLink
from vpn_frontend.radius.packets import AnswerError, UnsignedAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vpn_frontend.ports import EventSink
    from vpn_frontend.radius.link import Target
    from vpn_frontend.radius.packets import Answer, Question

UNSIGNED = (
    "its answers have no Message-Authenticator (CVE-2024-3596) and are dropped. Let the server send it: in FreeRADIUS "
    '3, "update reply { &Message-Authenticator := 0x00 }" in post-auth, in Post-Auth-Type REJECT and in Post-Auth-Type '
    "Challenge; or set require_message_authenticator = false for this server"
)
REPEAT = 60.0  # seconds between two reports of dropped answers of one server


class NoAnswerError(Exception):
    """No server gave an answer. The text names each with its cause."""


@dataclass(slots=True)
class _Server:
    link: RadiusLink
    dead_until: float | None = None
    reports: dict[str, float] = field(default_factory=dict)  # when each kind of fault was last reported


class RadiusServers:
    """Servers in the operator's order. ``purpose`` names them in events. ``clock`` is monotonic.

    A server that gave no answer is dead for ``dead_time`` seconds: it is asked only when all are dead, or when a login
    is bound to it. Its death and its return are reported once each.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        purpose: str,
        dead_time: float,
        events: EventSink,
        clock: Callable[[], float],
    ) -> None:
        self._purpose = purpose
        self._dead_time = dead_time
        self._events = events
        self._clock = clock
        self._servers: list[_Server] = []
        for target in targets:
            self._add_server(target)

    @property
    def all_dead(self) -> bool:
        """True if every server has failed its last request, and none is to be tried again yet."""
        now = self._clock()
        return all(server.dead_until is not None and now < server.dead_until for server in self._servers)

    async def ask(self, question: Question, server: int | None = None) -> tuple[Answer, int]:
        """The answer, and the number of the server that gave it. ``server``: ask only this one.

        Raises ``NoAnswerError``, and ``ValueError`` for a question that cannot be encoded.
        """
        faults = []
        candidates = self._candidates() if server is None else [server]
        for position, number in enumerate(candidates):
            fail_fast = position + 1 < len(candidates)
            try:
                answer = await self._servers[number].link.ask(question, fail_fast=fail_fast)
            except LinkBusyError as error:
                faults.append(str(error))
            except (LinkError, OSError) as error:
                faults.append(str(error))
                self._mark_dead(number, str(error))
            else:
                self._mark_alive(number)
                return answer, number
        raise NoAnswerError("; ".join(faults))

    def close(self) -> None:
        for server in self._servers:
            server.link.close()

    def _add_server(self, target: Target) -> None:
        number = len(self._servers)
        link = RadiusLink(target, lambda error: self._report_dropped(number, error))
        self._servers.append(_Server(link))

    def _candidates(self) -> list[int]:
        now = self._clock()
        alive = [n for n, one in enumerate(self._servers) if one.dead_until is None or now >= one.dead_until]
        return alive or list(range(len(self._servers)))

    def _mark_dead(self, number: int, cause: str) -> None:
        server = self._servers[number]
        if server.dead_until is None:
            self._emit(VpnEvent.RADIUS_SERVER_DEAD, server, error=cause)
        server.dead_until = self._clock() + self._dead_time

    def _mark_alive(self, number: int) -> None:
        server = self._servers[number]
        if server.dead_until is not None:
            server.dead_until = None
            self._emit(VpnEvent.RADIUS_SERVER_ALIVE, server)

    def _report_dropped(self, number: int, error: AnswerError) -> None:
        server, now = self._servers[number], self._clock()
        kind = type(error).__name__
        if now - server.reports.get(kind, float("-inf")) < REPEAT:
            return
        server.reports[kind] = now
        text = UNSIGNED if isinstance(error, UnsignedAnswerError) else str(error)
        self._emit(VpnEvent.RADIUS_ANSWER_DROPPED, server, error=text)

    def _emit(self, kind: VpnEvent, server: _Server, **fields: object) -> None:
        self._events.emit(kind, server=str(server.link.target.endpoint), purpose=self._purpose, **fields)
