# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of a password file, as Debian's ``ocpasswd`` writes it."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from ipaddress import ip_address

import pytest

from ocsentry.user_files.directory import FileDirectory
from ocsentry.user_files.file_thread import FileThread
from ocsentry.user_files.password_file import parse_password_file
from ocsentry.user_files.read_through import ReadThroughFile
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.password.checker import PasswordChecker
from vpn_frontend.auth.password.hashes import matches
from vpn_frontend.auth.password.method import PasswordMethod
from vpn_frontend.auth.result import Accepted, Refused
from vpn_frontend.ports import UserRecord
from vpn_frontend.testing import MemoryDirectory, MemoryEvents

STORED = UserRecord("bob", "$5$of$thestore", ("old",), max_same_clients=7)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ocpasswd"


@pytest.fixture
def ocpasswd(path):
    def run(*arguments, password=None):
        given = "" if password is None else f"{password}\n"
        subprocess.run(["ocpasswd", "-c", path, *arguments], input=given, text=True, check=True, timeout=10)

    return run


@pytest.fixture
def thread():
    thread = FileThread()
    yield thread
    thread.close()


@pytest.fixture
def directory(path, thread):
    file = ReadThroughFile(path, parse_password_file)
    return FileDirectory(file, thread, MemoryDirectory([STORED]), MemoryEvents())


@pytest.mark.asyncio
async def test_each_change_counts_at_the_next_look_up(directory, ocpasswd):
    ocpasswd("-g", "staff,ops", "alice", password="first")
    alice = await directory.find("alice")
    assert (alice.name, alice.groups, alice.enabled) == ("alice", ("staff", "ops"), True)
    assert matches(alice.password_hash, "first")
    ocpasswd("-g", "staff", "alice", password="second")
    alice = await directory.find("alice")
    assert alice.groups == ("staff",)
    assert matches(alice.password_hash, "second")
    assert not matches(alice.password_hash, "first")
    ocpasswd("-l", "alice")
    assert not (await directory.find("alice")).enabled
    ocpasswd("-u", "alice")
    assert await directory.find("alice") == alice
    ocpasswd("-d", "alice")
    assert await directory.find("alice") is None
    assert directory.recall("alice") is None


@pytest.mark.asyncio
async def test_a_user_of_both_has_the_password_of_the_file_and_the_limits_of_the_store(directory, ocpasswd):
    ocpasswd("alice", password="secret")
    assert await directory.find("bob") == STORED
    ocpasswd("-g", "staff", "bob", password="secret")
    bob = await directory.find("bob")
    assert matches(bob.password_hash, "secret")
    assert (bob.groups, bob.max_same_clients) == (("staff", "old"), 7)
    assert {"$5$of$thestore", bob.password_hash} < set(await directory.hash_samples())


@pytest.mark.asyncio
async def test_names_are_those_of_the_file_to_the_letter(directory, path, ocpasswd):
    ocpasswd("alice", password="secret")
    path.write_text(path.read_text().replace("alice", "DOMAIN\\Alice"))
    assert await directory.find("alice") is None
    assert await directory.find("domain\\alice") is None
    assert (await directory.find("DOMAIN\\Alice")).name == "DOMAIN\\Alice"


@pytest.mark.asyncio
async def test_without_a_file_nobody_gets_in_and_the_error_names_it(directory, path):
    with pytest.raises(FileNotFoundError, match=str(path)):
        await directory.find("bob")


@pytest.mark.asyncio
async def test_problems_are_told_once_for_each_change(directory, path):
    path.write_text("broken\n")
    await directory.find("bob")
    await directory.find("bob")
    path.write_text("broken\nbroken too\n")
    await directory.find("bob")
    told = directory._events.of("user_file_refused")
    assert [event["problem"] for event in told] == [
        "line 1: not name:groups:hash",
        "line 1: not name:groups:hash",
        "line 2: not name:groups:hash",
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize("hash_text", ["", "!"])
async def test_a_user_without_a_password_cannot_log_in(directory, path, hash_text):
    path.write_text(f"alice:*:{hash_text}\n")
    checker = PasswordChecker(threads=1)
    try:
        for password in ("", "x", "!"):
            login = LoginRequest("alice", password, "", ip_address("192.0.2.1"))
            outcome = await PasswordMethod(directory, checker).begin(login).wait()
            assert isinstance(outcome, Refused)
            assert outcome.reason == "wrong_password"
    finally:
        checker.close()


@pytest.mark.asyncio
async def test_a_password_that_changed_is_no_longer_remembered(directory, ocpasswd):
    ocpasswd("alice", password="first")
    checker = PasswordChecker(threads=1, remember=300)
    method = PasswordMethod(directory, checker)
    login = LoginRequest("alice", "first", "", ip_address("192.0.2.1"))
    try:
        assert isinstance(await method.begin(login).wait(), Accepted)
        ocpasswd("alice", password="second")
        assert isinstance(await method.begin(login).wait(), Refused)
    finally:
        checker.close()


@pytest.mark.asyncio
async def test_a_read_that_hangs_holds_up_no_more_than_its_callers(thread):
    hanging = threading.Event()
    reads = [asyncio.ensure_future(thread.run(hanging.wait)) for _ in range(256)]
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="256 reads"):
        await thread.run(bool)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.shield(reads[0])
    hanging.set()
    assert await asyncio.gather(*reads) == [True] * 256
    assert await thread.run(lambda: 7) == 7
