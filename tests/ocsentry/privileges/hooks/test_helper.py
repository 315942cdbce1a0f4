# SPDX-License-Identifier: GPL-3.0-or-later
"""The hook helper with real programs: their environment, their end, and what they may not do."""

import asyncio
import os
import select
import sys
from ast import literal_eval
from contextlib import asynccontextmanager, suppress

import pytest

from lab.timeouts import TIMEOUT
from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.hooks.client import HookHelper, HookResult
from ocsentry.privileges.hooks.scope import HookScope
from vpn_frontend.sessions.records.hook_environment import MAX_VALUE

ENVIRONMENT = {"REASON": "connect", "USERNAME": "DOMAIN\\al ice; rm -rf /", "USER_AGENT": "$(reboot)"}


@pytest.fixture
def script(tmp_path):
    """``script(name, text)``: the path of a program that runs ``text`` as Python."""

    def write(name, text):
        path = tmp_path / name
        path.write_text(f"#!{sys.executable} -I\nimport os, sys, time\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write


@asynccontextmanager
async def helping(*, seconds=60, user="", processes=8, **programs):
    helper = HookHelper.start(HookScope(programs, seconds, user, processes))
    helper.attach()
    try:
        yield helper
    finally:
        helper.detach()
        helper.close()


@pytest.mark.asyncio
async def test_a_program_gets_its_arguments_and_the_environment_and_nothing_else(script, tmp_path, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD_OF_SOMEBODY", "x")
    monkeypatch.chdir(tmp_path)
    shown = tmp_path / "shown"
    program = script("show", f"open({str(shown)!r}, 'w').write(repr((sys.argv[1:], dict(os.environ), os.getcwd())))")
    async with helping(connect=(program, "one two", "$HOME; `id`")) as helper:
        assert await helper.run_program("connect", ENVIRONMENT) == HookResult("")
    arguments, environment, folder = literal_eval(shown.read_text())
    assert arguments == ["one two", "$HOME; `id`"]
    assert folder == str(tmp_path)
    path = environment.pop("PATH")
    environment.pop("LC_CTYPE", None)  # Python's own
    assert environment == ENVIRONMENT
    assert path.startswith("/usr/local/sbin")


@pytest.mark.asyncio
async def test_how_a_program_ends_is_told_with_what_it_printed(script):
    refusing = script("refuse", "print('no\\x1b[2J way', flush=True); print('why', file=sys.stderr); sys.exit(3)")
    killed = script("killed", "os.kill(os.getpid(), 9)")
    async with helping(connect=(refusing,), disconnect=(killed,), host_update=("/nowhere/at/all",)) as helper:
        refused = await helper.run_program("connect", {})
        assert (refused.problem, refused.output) == ("exit code 3", "no [2J way why")
        assert (await helper.run_program("disconnect", {})).problem == "ended by signal 9"
        assert "cannot be started" in (await helper.run_program("host_update", {})).problem


@pytest.mark.asyncio
async def test_a_gigabyte_of_output_is_dropped_and_delays_nobody(script):
    endless = script("endless", "block = b'x' * 65536\nfor _ in range(16384): os.write(1, block)")
    async with helping(connect=(endless,), disconnect=(script("quick", ""),)) as helper:
        talking = asyncio.create_task(helper.run_program("connect", {}))
        assert await helper.run_program("disconnect", {}) == HookResult("")
        result = await asyncio.wait_for(talking, TIMEOUT)
        assert result.problem == ""
        assert 0 < len(result.output) <= 256


@pytest.mark.asyncio
async def test_a_program_that_takes_too_long_is_killed_with_its_children(script, tmp_path):
    pids = tmp_path / "pids"
    program = script(
        "slow", f"child = os.fork()\nif child: open({str(pids)!r}, 'w').write(str(child))\ntime.sleep(600)"
    )
    async with helping(seconds=1, connect=(program,)) as helper:
        result = await asyncio.wait_for(helper.run_program("connect", {}), TIMEOUT)
        assert result.problem == "it took too long and was killed"
        child = int(pids.read_text())
        with suppress(ProcessLookupError):  # it has ended already
            gone = os.pidfd_open(child)
            assert select.select([gone], [], [], TIMEOUT)[0]
            os.close(gone)


@pytest.mark.asyncio
async def test_a_slow_program_delays_no_other(script):
    async with helping(connect=(script("slow", "time.sleep(600)"),), disconnect=(script("quick", ""),)) as helper:
        slow = asyncio.create_task(helper.run_program("connect", {}))
        assert await asyncio.wait_for(helper.run_program("disconnect", {}), TIMEOUT) == HookResult("")
        assert not slow.done()
        slow.cancel()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("program", "environment", "problem"),
    [
        ("connect", {"LD_PRELOAD": "/tmp/evil.so"}, "another variable"),
        ("connect", {"USERNAME": "a\0b"}, "too long"),
        ("connect", {"OCSERV_ROUTES": "x" * (MAX_VALUE + 1)}, "too long"),
        ("/bin/sh", {}, "no such program"),
    ],
)
async def test_what_a_taken_over_server_may_not_ask(script, monkeypatch, program, environment, problem):
    monkeypatch.setattr("ocsentry.privileges.hooks.client.fit", str)  # as it is
    async with helping(connect=(script("quick", ""),)) as helper:
        assert problem in (await helper.run_program(program, environment)).problem
        assert await helper.run_program("connect", {}) == HookResult("")


@pytest.mark.asyncio
async def test_too_many_at_once_are_refused(script):
    async with helping(processes=1, connect=(script("slow", "time.sleep(600)"),)) as helper:
        first = asyncio.create_task(helper.run_program("connect", {}))
        await asyncio.sleep(0)
        assert (await helper.run_program("connect", {})).problem == "too many hooks at once"
        first.cancel()


@pytest.mark.asyncio
async def test_a_helper_that_is_gone_fails_what_it_had_to_do(script):
    helper = HookHelper.start(HookScope({"connect": (script("slow", "time.sleep(600)"),)}, 60))
    helper.attach()
    running = asyncio.create_task(helper.run_program("connect", {}))
    await asyncio.sleep(0)
    helper._process.kill()
    assert "gone" in (await asyncio.wait_for(running, TIMEOUT)).problem
    assert "gone" in (await helper.run_program("connect", {})).problem
    assert "connect hooks refuse" in await helper.check()
    helper.close()


@pytest.mark.asyncio
async def test_with_the_server_end_the_helper_and_its_programs(script, tmp_path):
    pids = tmp_path / "pids"
    slow = script("slow", f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(600)")
    helper = HookHelper.start(HookScope({"connect": (slow,), "disconnect": (script("quick", ""),)}, 60))
    helper.attach()
    running = [asyncio.create_task(helper.run_program("connect", {})) for _ in range(2)]
    while len(pids.read_text().splitlines() if pids.exists() else ()) < 2:
        await helper.run_program("disconnect", {})
    helper.detach()
    await asyncio.gather(*running)
    helper.close()
    assert helper._process.returncode == 0
    for pid in pids.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.asyncio
async def test_programs_run_as_the_configured_user(script, tmp_path):
    tmp_path.chmod(0o755)
    program = script("who", "print(os.getuid(), os.getgid(), os.getgroups())")
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    async with helping(user="nobody", connect=("/usr/bin/id", "-u"), disconnect=(program,)) as helper:
        assert (await helper.run_program("connect", {})).output == "65534"


def test_a_user_that_is_not_there_stops_the_start():
    with pytest.raises(PrivilegeError, match=r"vpn\.hooks\.user: there is no user nobody-at-all"):
        HookHelper.start(HookScope({"connect": ("/bin/true",)}, 10, "nobody-at-all"))
