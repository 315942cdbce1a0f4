# SPDX-License-Identifier: GPL-3.0-or-later
"""``show events``: one line or object for each user who connects or disconnects, until ``q`` or the end of input."""

from __future__ import annotations

import os
import queue
import select
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from ocsentry.observability.ocserv_format import reason_of
from ocsentry.occtl.documents import Document, show_host
from ocsentry.occtl.figures import show_interval
from ocsentry.occtl.layout import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocsentry.api_client.client import SocketClient

QUIT = frozenset("qQ")
PAUSE = 0.1  # seconds between two looks at the keys


def follow_events(server: SocketClient, keys: TextIO, tell: Callable[[str, Document], None]) -> None:
    """Call ``tell`` with the text and the session of each change. Returns at ``q`` or the end of ``keys``.

    Raises what the API client raises.
    """
    found: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()
    known = {session["id"]: session for session in server.items("sessions", local=True)}
    threading.Thread(target=_read, args=(server, found), name="events", daemon=True).start()
    while not _wants_to_quit(keys):
        with suppress(queue.Empty):
            while True:
                event = found.get(timeout=PAUSE)
                if event is None:
                    return  # the server has closed the stream
                if isinstance(event, Exception):
                    raise event
                _tell_event(server, event, known, tell)


def _read(server: SocketClient, found: queue.SimpleQueue[dict[str, Any] | Exception | None]) -> None:
    try:
        for event in server.stream("events"):
            found.put(event)
    except Exception as error:  # noqa: BLE001 - raised again where the events are used
        found.put(error)
    found.put(None)


def _wants_to_quit(keys: TextIO) -> bool:
    """True at ``q``, and at the end of the input. Without a descriptor the rest of ``keys`` is there at once."""
    try:
        descriptor = keys.fileno()
    except OSError:
        return keys.read(1) in {"", *QUIT}
    ready, _, _ = select.select([descriptor], [], [], 0)
    if not ready:
        return False
    given = os.read(descriptor, 1)
    return not given or given.decode(errors="replace") in QUIT


def _tell_event(
    server: SocketClient, event: dict[str, Any], known: dict[str, Document], tell: Callable[[str, Document], None]
) -> None:
    fields = event.get("fields", {})
    session_id = str(fields.get("session", ""))
    if event["kind"] == "session_opened":
        session = next((one for one in server.items("sessions", local=True) if one["id"] == session_id), None)
        if session is not None:
            known[session_id] = session
            tell(_connect_line(session), session)
    elif event["kind"] == "session_closed" and (session := known.pop(session_id, None)) is not None:
        tell(_disconnect_line(session, fields), session)


def _connect_line(session: Document) -> str:
    return f"{show_host(session)}: connected {_who(session)}"


def _disconnect_line(session: Document, fields: dict[str, Any]) -> str:
    reason, lasted = reason_of(fields.get("reason")), show_interval(fields.get("duration", 0))
    return f"{show_host(session)}: disconnect {_who(session)} (reason: {reason}, time: {lasted})"


def _who(session: Document) -> str:
    user, inner = printable(session["user"]), session["ipv4"] or session["ipv6"]
    return f"user '{user}' ({session['number']}) from {session['address']} with IP {inner}"
