# SPDX-License-Identifier: GPL-3.0-or-later
"""One PAM conversation in a process of its own: PAM's modules may block, crash, exit or leak, and cost one login.

A session of PAM is opened by one such process and closed by another, each with a handle of its own, as in ocserv: a
session may last for days, and outlive the server's process.

It speaks JSON with the server over a packet socket. It sends questions,
``{"prompts": [{"text", "echo"}], "messages"}``, and gets ``{"answers": [text]}`` for each. At the end it sends
``{"phase", "code", "user", "groups", "messages"}``.
"""

from __future__ import annotations

import grp
import os
import pwd
import resource
import signal
from typing import TYPE_CHECKING

from ocsentry.privileges import linux
from ocsentry.privileges.helper.protocol import receive_message, send_message
from ocsentry.privileges.pam.libpam import (
    ECHO_OFF,
    ECHO_ON,
    NEW_AUTHTOK_REQD,
    SUCCESS,
    SYSTEM_ERR,
    LibPam,
    Message,
    PamHandle,
)
from sentry_engine.records import dataclass
from vpn_frontend.auth.pam.conversation import MAX_GROUPS, MAX_MESSAGES, MAX_TEXT, Phase

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from ocsentry.privileges.pam.scope import PamService

PR_SET_PDEATHSIG = 1
OWN_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)


def isolate(kept: int) -> None:
    """Leave this process, which was forked, with the descriptor ``kept`` and none of its parent's."""
    os.setsid()
    linux.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    for number in OWN_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    moved = os.dup2(kept, 3)
    os.closerange(4, 65536)
    os.set_inheritable(moved, False)


class Talk:
    """The conversation of one handle over ``link``. Messages without a question wait for the next thing to send."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._messages: list[str] = []
        self.changing = False  # prompts are those of a change of the password

    def ask(self, batch: Sequence[Message]) -> Sequence[bytes] | None:
        """Send the prompts of a batch and wait for their answers."""
        prompts = [one for one in batch if one.style in (ECHO_OFF, ECHO_ON)]
        self._messages += [_text(one) for one in batch if one not in prompts]
        answers: list[bytes] = []
        if prompts:
            asked = [{"text": _text(one), "echo": one.style == ECHO_ON} for one in prompts]
            send_message(self._link, {"prompts": asked, "messages": self._take_messages(), "changing": self.changing})
            received = receive_message(self._link)
            if received is None:
                return None
            answers = [str(text).encode() for text in received[0]["answers"]]
            if len(answers) != len(prompts):
                return None
        waiting = iter(answers)
        return [next(waiting) if one.style in (ECHO_OFF, ECHO_ON) else b"" for one in batch]

    def note(self, batch: Sequence[Message]) -> Sequence[bytes] | None:
        """As ``ask``, where there is no one to answer."""
        self._messages += [_text(one) for one in batch]
        return None if any(one.style in (ECHO_OFF, ECHO_ON) for one in batch) else [b""] * len(batch)

    def end(self, phase: Phase, code: int, user: str = "", groups: Sequence[str] = ()) -> None:
        document = {"phase": phase.value, "code": code, "user": user, "groups": list(groups)}
        send_message(self._link, {**document, "messages": self._take_messages()})

    def _take_messages(self) -> list[str]:
        taken, self._messages = self._messages[-MAX_MESSAGES:], []
        return taken


def converse(library: LibPam, service: PamService, link: socket.socket, user: str, address: str) -> None:
    """One login, to its end. Raises ``OSError`` where the server is gone."""
    talk = Talk(link)
    handle = PamHandle(library, talk.ask)
    phase, code = Phase.START, handle.open(service.service, user, address)
    if code == SUCCESS:
        phase, code = Phase.AUTHENTICATE, handle.authenticate()
    if code == SUCCESS:
        phase, code = Phase.ACCOUNT, handle.check_account()
    if phase is Phase.ACCOUNT and code == NEW_AUTHTOK_REQD:
        talk.changing = True
        phase, code = Phase.PASSWORD, handle.change_expired_token()
    name, groups = "", list[str]()
    if code == SUCCESS:
        try:
            phase, name = Phase.DONE, handle.user()
            groups = groups_of(name, service.gid_min)
        except (OSError, UnicodeDecodeError):
            phase, code = Phase.ACCOUNT, SYSTEM_ERR
    handle.close(code)
    talk.end(phase, code, name, groups)


@dataclass(frozen=True, slots=True)
class SessionChange:
    """A session of the server, by its number, that is opened or closed for PAM."""

    service: str
    opens: bool
    session: str


def keep_session(library: LibPam, change: SessionChange, link: socket.socket, user: str, address: str) -> None:
    """Open or close a session, without questions: the user is not there. Raises ``OSError`` as ``converse``.

    One is opened if the account is valid, which is all that ocserv asks.
    """
    talk = Talk(link)
    handle = PamHandle(library, talk.note)
    phase, code = Phase.START, handle.open(change.service, user, address)
    if code == SUCCESS:
        code = handle.set_variable("OCSENTRY_SESSION", change.session)
    if code == SUCCESS and change.opens:
        phase, code = Phase.ACCOUNT, handle.check_account()
    if code == SUCCESS:
        phase, code = Phase.SESSION, handle.open_session() if change.opens else handle.close_session()
    handle.close(code)
    talk.end(phase, code)


def groups_of(user: str, gid_min: int) -> list[str]:
    """The groups of the system that ``user`` is in, those with small numbers left out. None for an unknown user."""
    try:
        numbers = os.getgrouplist(user, pwd.getpwnam(user).pw_gid)
    except KeyError:
        return []
    names = []
    for number in numbers[:MAX_GROUPS]:
        if number >= gid_min:
            try:
                names.append(grp.getgrgid(number).gr_name)
            except KeyError:
                continue
    return names


def _text(message: Message) -> str:
    return message.text.decode(errors="replace")[:MAX_TEXT]
