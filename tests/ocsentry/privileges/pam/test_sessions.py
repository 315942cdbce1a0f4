# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of PAM with real modules, around hooks."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from lab.services.pam import PamServices
from lab.timeouts import TIMEOUT
from ocsentry.observability.event_catalog import LogEvent
from ocsentry.privileges.helper.protocol import receive_message, send_message
from ocsentry.privileges.hooks.client import HookResult
from ocsentry.privileges.hooks.runner import HookRunner
from ocsentry.privileges.pam.client import PamHelper
from ocsentry.privileges.pam.scope import PamScope
from ocsentry.privileges.pam.sessions import PamSessions
from vpn_frontend.testing import MemoryEvents

OF_ALICE = {"USERNAME": "alice", "IP_REAL": "192.0.2.1", "ID": "7"}


class Hooks:
    """Hooks that note when they ran in the modules' own log."""

    def __init__(self, log, problem=""):
        self._log = log
        self._problem = problem

    async def run_program(self, program, environment):
        with self._log.open("a") as file:
            file.write(f"hook {program} {environment['USERNAME']}\n")
        return HookResult(self._problem)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.touch()
    return path


@pytest.fixture
def services(tmp_path, log):
    """A service whose session module notes each call. It refuses mallory, and hangs for sloth."""
    script = tmp_path / "script"
    script.write_text(
        f'#!/bin/sh\necho "$PAM_TYPE $PAM_USER ${{PAM_RHOST:--}} $PAM_TTY $OCSENTRY_SESSION" >> {log}\n'
        '[ "$PAM_USER" != sloth ] || exec sleep 100000\n[ "$PAM_USER" != mallory ]\n'
    )
    script.chmod(0o755)
    made = PamServices(tmp_path)
    made.write("sessions", "account required pam_permit.so", f"session required pam_exec.so {script}")
    return made


def launch(services):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return ours, services.launch(theirs)


@asynccontextmanager
async def serving(services, *, hooks=None, seconds=110, configured=("connect", "disconnect")):
    """(the runner of hooks and sessions, its events)"""
    helper, events = PamHelper(*launch(services)), MemoryEvents()
    helper.begin(PamScope((), 600, session="sessions"))
    helper.attach()
    around = PamSessions(helper, seconds, hooks, configured if hooks else ())
    runner = HookRunner(around, around.names, events)
    try:
        yield runner, events
        await runner.drain()
    finally:
        helper.detach()
        helper.close()


def lines(log):
    return log.read_text().splitlines()


@pytest.mark.asyncio
async def test_a_session_is_opened_before_its_hook_and_closed_after_it(services, log):
    async with serving(services, hooks=Hooks(log)) as (runner, _):
        assert runner.has_connect
        assert await runner.connect("s1", "alice", OF_ALICE)
        runner.disconnect("s1", "alice", {"USERNAME": "alice", "ID": "7"})  # a session that came back, and left at once
        runner.host_update("s1", "alice", OF_ALICE)
    assert lines(log) == [
        "open_session alice 192.0.2.1 vpn 7",
        "hook connect alice",
        "hook disconnect alice",
        "close_session alice - vpn 7",
    ]


@pytest.mark.asyncio
async def test_pam_refuses_a_session_before_its_hook_is_asked(services, log):
    async with serving(services, hooks=Hooks(log)) as (runner, events):
        assert not await runner.connect("s1", "mallory", {**OF_ALICE, "USERNAME": "mallory"})
    assert lines(log) == ["open_session mallory 192.0.2.1 vpn 7"]
    [(kind, fields)] = events.seen
    assert (kind, fields["hook"], fields["user"]) == (LogEvent.HOOK_FAILED, "connect", "mallory")
    assert fields["problem"].startswith("pam_open_session returned ")


@pytest.mark.asyncio
async def test_an_account_that_is_none_of_the_service_has_no_session(services, log):
    """As ocserv's ``acct = pam``, whatever the method of the login."""
    services.write("sessions", "account required matrix", "session required pam_permit.so")
    services.allow("alice", "sessions")
    async with serving(services) as (runner, events):
        assert await runner.connect("s1", "alice", OF_ALICE)
        assert not await runner.connect("s2", "bob", {**OF_ALICE, "USERNAME": "bob"})
    assert [fields["problem"].rpartition(" ")[0] for _, fields in events.seen] == ["pam_acct_mgmt returned"]


@pytest.mark.asyncio
async def test_a_hook_that_refuses_closes_the_session_again(services, log):
    async with serving(services, hooks=Hooks(log, "exit code 1")) as (runner, _):
        assert not await runner.connect("s1", "alice", OF_ALICE)
    assert lines(log)[-1] == "close_session alice 192.0.2.1 vpn 7"


@pytest.mark.asyncio
async def test_a_module_that_hangs_for_one_user_delays_no_other(services, log):
    async with serving(services, seconds=1) as (runner, events):
        slow = asyncio.create_task(runner.connect("s1", "sloth", {**OF_ALICE, "USERNAME": "sloth"}))
        await asyncio.sleep(0)
        assert await runner.connect("s2", "alice", OF_ALICE)
        assert not slow.done()
        assert not await slow
    assert [fields["problem"] for _, fields in events.seen] == ["pam_open_session took too long and was ended"]


@pytest.mark.parametrize("number", ["", "x", "1" * 21, "-1", "7;rm"])
def test_the_number_of_a_session_is_digits(services, number):
    link, process = launch(services)
    with link:
        send_message(link, {"scope": PamScope((), 60, session="sessions").render()})
        assert receive_message(link)[0] == {"ok": True}
        send_message(link, {"verb": "session", "id": 1, "user": "a", "session": number, "opens": True})
        assert "number" in receive_message(link)[0]["error"]
    assert process.wait(TIMEOUT) == 0
