# SPDX-License-Identifier: GPL-3.0-or-later
"""Log events about one session."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vpn_frontend.ports import EventSink, VpnEvent
    from vpn_frontend.sessions.session import Session


def emit_session_event(events: EventSink, kind: VpnEvent, session: Session, **fields: object) -> None:
    """Emit ``kind`` with the session's id, user and peer address, and ``fields``."""
    address = None if session.peer is None else session.peer.address
    events.emit(kind, session=session.id, user=session.user.name, address=address, **fields)
