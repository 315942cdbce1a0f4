# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out one command of occtl on a running server, and prints what occtl prints."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, TextIO

from ocsentry.api_client.client import ClientError
from ocsentry.occtl import documents
from ocsentry.occtl.events import follow_events
from ocsentry.occtl.layout import Block, Row, render_json, render_json_list, render_table, render_text
from ocsentry.occtl.words import Verb, describe_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocsentry.api_client.client import SocketClient
    from ocsentry.occtl.documents import Document

SESSION_NOT_FOUND = "Session ID not found or expired"

OK, FAILED, NOT_FOUND = 0, 1, 2


class Control:
    """``out`` takes answers, ``err`` problems. Methods return the exit code. Raises what the API client raises."""

    def __init__(
        self,
        server: SocketClient,
        out: TextIO,
        err: TextIO,
        keys: TextIO,
        *,
        as_json: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._server = server
        self._out = out
        self._err = err
        self._keys = keys
        self._as_json = as_json
        self._clock = clock

    def run(self, verb: Verb, argument: str) -> int:
        work: dict[Verb, Callable[[], int]] = {
            Verb.DISCONNECT_USER: partial(self._end_user, argument, keep=True),
            Verb.DISCONNECT_ID: partial(self._end_number, argument, keep=True),
            Verb.TERMINATE_USER: partial(self._end_user, argument, keep=False),
            Verb.TERMINATE_ID: partial(self._end_number, argument, keep=False),
            Verb.TERMINATE_SESSION: partial(self._end_session, argument),
            Verb.UNBAN_IP: partial(self._unban, argument),
            Verb.RELOAD: partial(self._signal, signal.SIGHUP, "Server scheduled to reload"),
            Verb.STOP: partial(self._stop, argument),
            Verb.SHOW_STATUS: self._show_status,
            Verb.SHOW_USERS: self._show_users,
            Verb.SHOW_IP_BANS: partial(self._show_bans, points=False),
            Verb.SHOW_IP_BAN_POINTS: partial(self._show_bans, points=True),
            Verb.SHOW_IROUTES: self._show_iroutes,
            Verb.SHOW_SESSIONS_ALL: self._show_sessions,
            Verb.SHOW_SESSIONS_VALID: self._show_sessions,
            Verb.SHOW_SESSION: partial(self._show_session, argument),
            Verb.SHOW_USER: partial(self._show_user, argument),
            Verb.SHOW_ID: partial(self._show_number, argument),
            Verb.SHOW_EVENTS: self._show_events,
            Verb.RESET: self._reset,
            Verb.HELP: self._help,
        }
        return work[verb]()

    def tell_offline(self) -> None:
        """The answer to ``show status`` without a server."""
        self._print_block(Block([Row({"Status": "offline"})]))

    # -- shows

    def _show_status(self) -> int:
        server = self._server
        general, period = documents.status_blocks(
            server.get("status"),
            server.get("sessions/statistics"),
            server.items("sessions", local=True),
            bans=len(self._bans()),
            process=server.server_process(),
            now=self._clock(),
        )
        if self._as_json:
            self._print_block(Block([*general.rows, *period.rows]))
        else:
            self._write(f"{documents.NOTE}\n\nGeneral info:\n{render_text(general)}\n\n")
            self._write(f"Current stats period:\n{render_text(period)}\n")
        return OK

    def _show_users(self) -> int:
        now, users = self._clock(), self._users()
        self._print_list(
            [documents.user_block(user, now) for user in users],
            documents.USER_COLUMNS,
            (documents.user_row(user, now) for user in users),
        )
        return OK

    def _show_user(self, name: str) -> int:
        return self._print_users([user for user in self._users() if user["user"] == name])

    def _show_number(self, text: str) -> int:
        return self._print_users([user for user in self._users() if str(user["number"]) == text])

    def _print_users(self, users: Sequence[Document]) -> int:
        now = self._clock()
        return self._print_found([documents.user_block(user, now) for user in users], "user or ID not found")

    def _show_sessions(self) -> int:
        now, sessions = self._clock(), self._sessions()
        self._print_list(
            [documents.session_block(session, now) for session in sessions],
            documents.SESSION_COLUMNS,
            (documents.session_row(session, now) for session in sessions),
        )
        return OK

    def _show_session(self, prefix: str) -> int:
        now = self._clock()
        found = [session for session in self._sessions() if session["id"].startswith(prefix)]
        self._print_found([documents.session_block(session, now) for session in found], SESSION_NOT_FOUND)
        return OK  # as in ocserv, where only users are missed with an exit code

    def _show_iroutes(self) -> int:
        users = self._users()
        self._print_list(
            [documents.iroute_block(user) for user in users],
            documents.IROUTE_COLUMNS,
            (row for user in users for row in documents.iroute_rows(user)),
        )
        return OK

    def _show_bans(self, *, points: bool) -> int:
        now, bans = self._clock(), self._points() if points else self._bans()
        self._print_list(
            [documents.ban_block(ban, now, points=points) for ban in bans],
            documents.POINT_COLUMNS if points else documents.BAN_COLUMNS,
            (documents.ban_row(ban, now, points=points) for ban in bans),
        )
        return OK

    def _show_events(self) -> int:
        self._show_users()
        self._write("\nPress 'q' or CTRL+C to quit\n\n")
        follow_events(self._server, self._keys, self._tell_change)
        return OK

    def _tell_change(self, text: str, session: Document) -> None:
        block = documents.user_block(session, self._clock())
        self._write(render_json_list([block]) if self._as_json else f"{text}\n")

    # -- actions

    def _end_user(self, name: str, *, keep: bool) -> int:
        own = self._users(roaming=True) if keep else self._sessions()
        ended = sum(self._end(session, keep=keep) for session in own if session["user"] == name)
        if not ended:
            return self._fail(f"could not {'disconnect' if keep else 'terminate'} user '{name}'")
        done = "was disconnected" if keep else "was terminated (session invalidated)"
        return self._succeed(f"user '{name}' {done}")

    def _end_number(self, text: str, *, keep: bool) -> int:
        users = [user for user in self._users(roaming=True) if str(user["number"]) == text]
        if not users or not self._end(users[0], keep=keep):
            return self._fail(f"could not {'disconnect' if keep else 'terminate'} ID '{text}'")
        done = "was disconnected" if keep else "was terminated (session invalidated)"
        return self._succeed(f"connection ID '{text}' {done}")

    def _end_session(self, prefix: str) -> int:
        found = [session for session in self._sessions() if session["id"].startswith(prefix)]
        if len(found) > 1:
            return self._fail(f"'{prefix}' matches {len(found)} sessions")
        if not found or not self._end(found[0], keep=False):
            return self._fail(f"no session matching '{prefix}' was found")
        return self._succeed(f"session '{found[0]['id'][: documents.SHORT]}' was terminated")

    def _end(self, session: Document, *, keep: bool) -> bool:
        """With ``keep`` the cookie stays good where cookies are persistent: where a disconnect does not end them early.

        Returns false if the session has ended meanwhile.
        """
        kept = keep and session["disconnect_grace"] >= session["cookie_timeout"]
        try:
            self._server.delete(f"sessions/{session['id']}", keep_cookie=True if kept else None)
        except ClientError:
            return False
        return True

    def _unban(self, text: str) -> int:
        """Ends penalties of the address, and the block of exactly this address."""
        try:
            address = ip_address(text)
        except ValueError:
            self._err.write(f"Cannot parse IP: {text}\n")
            return FAILED
        ended = self._server.delete("penalties", network=str(address))["forgiven"]
        for block in self._server.items("blocks", cidr=str(address)):
            self._server.delete(f"blocks/{block['id']}")
            ended += 1
        if not ended:
            return self._fail(f"could not unban IP '{text}'")
        return self._succeed(f"IP '{text}' was unbanned")

    def _stop(self, argument: str) -> int:
        if argument.lower() != "now":
            return self._fail("say 'stop now'")
        return self._signal(signal.SIGTERM, "Server scheduled to stop")

    def _signal(self, number: signal.Signals, done: str) -> int:
        try:
            os.kill(self._server.server_process(), number)
        except (ProcessLookupError, PermissionError):
            return self._fail("Error scheduling reload" if number is signal.SIGHUP else "Error scheduling stop")
        return self._succeed(done)

    def _reset(self) -> int:
        self._server.delete("sessions/statistics")
        return OK

    def _help(self) -> int:
        self._write("\n".join(describe_all(interactive=True)) + "\n")
        return OK

    # -- what the server has

    def _users(self, *, roaming: bool = False) -> list[Document]:
        sessions = self._server.items("sessions", local=True)
        return sessions if roaming else documents.connected(sessions)

    def _sessions(self) -> list[Document]:
        """What a client may come back to."""
        return [*self._server.items("sessions", local=True), *self._server.items("sessions/waiting")]

    def _bans(self) -> list[Document]:
        return documents.list_bans(self._server.items("penalties"), self._server.items("blocks"))

    def _points(self) -> list[Document]:
        return documents.list_points(self._server.items("penalties/sources"))

    # -- output

    def _print_list(
        self, blocks: Sequence[Block], columns: Sequence[tuple[str, int]], rows: Iterable[Sequence[object]]
    ) -> None:
        self._write(render_json_list(blocks) if self._as_json else render_table(columns, rows))

    def _print_found(self, blocks: Sequence[Block], otherwise: str) -> int:
        if self._as_json:
            self._write(render_json_list(blocks))
        else:
            self._write("\n\n".join(map(render_text, blocks)) + "\n" if blocks else f"{otherwise}\n")
        return OK if blocks else NOT_FOUND

    def _print_block(self, block: Block) -> None:
        self._write((render_json(block) if self._as_json else render_text(block)) + "\n")

    def _succeed(self, text: str) -> int:
        self._write(f"{text}\n")
        return OK

    def _fail(self, text: str) -> int:
        self._write(f"{text}\n")
        return FAILED

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
