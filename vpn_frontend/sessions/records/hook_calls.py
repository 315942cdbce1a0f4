# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hooks are told what of a session, and when.

With ``each_connection`` a session that comes back over another connection is told as ended and begun, as by ocserv: in
that order, so that what a disconnect hook takes away is there again after the connect hook. Each disconnect hook then
gets the bytes and seconds since the one before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.sessions.records.hook_environment import hook_environment
from vpn_frontend.sessions.session import Phase, ToldUsage

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from vpn_frontend.ports import ClientRoutes, SessionHooks
    from vpn_frontend.sessions.admission import Admission
    from vpn_frontend.sessions.session import Session


@dataclass(slots=True)
class HookCalls:
    """``hooks`` is ``None`` if the operator has none."""

    hooks: SessionHooks | None
    wall_clock: Callable[[], datetime]

    def unless_set(self, kernel: ClientRoutes | None) -> ClientRoutes | None:
        """``kernel``, or ``None`` if the programs set the routes to networks behind clients."""
        return None if self.hooks is not None and self.hooks.sets_routes else kernel

    def asks(self, session: Session) -> bool:
        """True if the connect hook decides on the connection that the session is about to get."""
        hooks = self.hooks
        return hooks is not None and hooks.has_connect and (session.phase is Phase.WAITING or hooks.each_connection)

    async def connect(self, admission: Admission) -> bool:
        """False: the program refuses the connection. The caller has read the session's counters."""
        session, hooks = admission.session, self.hooks
        if hooks is None:
            return True
        if session.peer is not None:
            self.end(session)
        session.hooked = True
        hostname = session.settings.hostname or admission.request.hostname
        environment = hook_environment("connect", session, admission.peer, hostname=hostname)
        return await hooks.connect(session.id, session.user.name, environment)

    def open(self, session: Session, *, renamed: bool) -> None:
        """The session has another channel. ``renamed``: its client told another host name."""
        if self.hooks is None:
            return
        session.hooked = True
        if renamed:
            environment = hook_environment("host-update", session, session.peer)
            self.hooks.host_update(session.id, session.user.name, environment)

    def leave(self, session: Session) -> None:
        """The session goes on at another node."""
        if self.hooks is not None and session.hooked:
            environment = hook_environment("disconnect", session, session.peer)
            self.hooks.leave(session.id, session.user.name, environment)

    def end(self, session: Session) -> None:
        """The session has ended, or its client has come back over another connection."""
        if self.hooks is None or not session.hooked:
            return
        told, now, counters = session.told, self.wall_clock(), session.counters
        since = ToldUsage(0, 0, session.started_at) if told is None else told
        used = (counters.rx_bytes - since.rx_bytes, counters.tx_bytes - since.tx_bytes)
        environment = hook_environment("disconnect", session, session.peer, used, (now - since.at).total_seconds())
        session.told = ToldUsage(counters.rx_bytes, counters.tx_bytes, now)
        self.hooks.disconnect(session.id, session.user.name, environment)
