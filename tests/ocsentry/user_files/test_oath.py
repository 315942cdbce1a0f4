# SPDX-License-Identifier: GPL-3.0-or-later
"""One-time passwords of a users file: its grammar, its codes, and what is used up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from admin_api.store import Store
from ocsentry.user_files.directory import FileDirectory
from ocsentry.user_files.file_thread import FileThread
from ocsentry.user_files.oath_factors import OathFactors, OathUsers
from ocsentry.user_files.oath_file import MAX_PROBLEMS, parse_oath_file
from ocsentry.user_files.password_file import parse_password_file
from ocsentry.user_files.read_through import ReadThroughFile
from vpn_frontend.auth.composition import compose
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.password.checker import PasswordChecker
from vpn_frontend.auth.password.method import PasswordMethod
from vpn_frontend.auth.result import Accepted, Challenge, Refused
from vpn_frontend.auth.totp.codes import code_at
from vpn_frontend.auth.totp.method import TotpMethod
from vpn_frontend.auth.totp.secret import OtpSecret
from vpn_frontend.testing import MemoryDirectory, MemoryEvents

KEY = b"12345678901234567890"
NOW = 1_700_000_010.0


class NoFactors:
    async def find_secret(self, user):
        return None

    async def use_step(self, *_):
        return False

    async def use_backup_code(self, *_):
        return False


@pytest.fixture
def path(tmp_path):
    return tmp_path / "users.oath"


@pytest_asyncio.fixture
async def store(tmp_path):
    store = await Store.open(f"sqlite:///{tmp_path}/test.db")
    yield store
    await store.close()


@pytest.fixture
def thread():
    thread = FileThread()
    yield thread
    thread.close()


@pytest.fixture
def users(path, thread):
    return OathUsers(ReadThroughFile(path, parse_oath_file), thread, MemoryEvents())


@pytest.fixture
def factors(users, store):
    return OathFactors(users, store, NoFactors())


def test_the_grammar():
    lines = f"""
# users of the VPN
HOTP alice - {KEY.hex()} 7 123456 2026-01-01T00:00:00L
HOTP/E/8 bob 4711 00
HOTP/T30 carol + {KEY.hex()}
HOTP/T60/7\tdave\t-\tABCD  99
HOTP alice - 00
"""
    assert parse_oath_file(lines.encode()).secrets == {
        "alice": OtpSecret(KEY, 0, 6, 7),
        "bob": OtpSecret(b"\0", 0, 8, pin="4711"),
        "carol": OtpSecret(KEY, 30),
        "dave": OtpSecret(b"\xab\xcd", 60, 7),
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("HOTP alice -", "not TYPE USER PIN SECRET"),
        ("TOTP alice - 00", "'TOTP' is none of"),
        ("HOTP/T0 alice - 00", "a period of 0"),
        ("HOTP/T30/9 alice - 00", "'HOTP/T30/9' is none of"),
        ("HOTP alice - secret", "the secret is not hexadecimal"),
        ("HOTP alice - 00 -1", "the counter is no number"),
        (f"HOTP alice - {'00' * 65}", "a secret of more than 128 digits"),
    ],
)
def test_a_malformed_line_is_told_without_its_secret(line, said):
    loaded = parse_oath_file(f"HOTP bob - 00\n{line}\n".encode())
    assert [*loaded.secrets] == ["bob"]
    [problem] = loaded.problems
    assert problem.startswith(f"line 2: {said}")
    assert "secret" not in problem or "secret" in said


@given(st.binary(max_size=200))
def test_any_bytes_are_read(data):
    loaded = parse_oath_file(data)
    assert len(loaded.problems) <= MAX_PROBLEMS


@pytest.mark.asyncio
async def test_a_code_by_counter_is_used_once_and_moves_the_counter(factors, path):
    path.write_text(f"HOTP alice - {KEY.hex()} 5\n")
    assert (await factors.find_secret("alice")).first == 5
    assert await factors.use_step("alice", 8, "one")
    assert await factors.use_step("alice", 8, "one"), "the same login repeats its reply"
    assert not await factors.use_step("alice", 8, "two")
    assert not await factors.use_step("alice", 7, "two")
    assert (await factors.find_secret("alice")).first == 9
    path.write_text(f"HOTP alice - {KEY.hex()} 20\n")
    assert (await factors.find_secret("alice")).first == 20, "a counter of the file that is ahead"
    path.write_text("HOTP alice - abcdef 0\n")
    assert (await factors.find_secret("alice")).first == 0, "another secret starts again"
    assert await factors.use_step("alice", 0, "three")


@pytest.mark.asyncio
async def test_of_logins_at_once_one_gets_the_code(factors, path):
    path.write_text(f"HOTP/T30 alice - {KEY.hex()}\n")
    used = await asyncio.gather(*(factors.use_step("alice", 100, f"login {number}") for number in range(8)))
    assert sum(used) == 1


@pytest.mark.asyncio
async def test_others_are_those_of_the_store_and_a_missing_file_is_an_error(factors, path):
    path.write_text(f"HOTP alice - {KEY.hex()}\n")
    assert await factors.find_secret("bob") is None
    assert not await factors.use_step("bob", 1, "one")
    assert not await factors.use_backup_code("alice", "ABCDEFGH", "one")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        await factors.find_secret("bob")


@pytest.fixture
def make_login(tmp_path, users, thread, factors):
    """The method of a server with a password file, whose users ``alice`` has no password and ``eve`` has neither."""
    passwords = tmp_path / "ocpasswd"
    passwords.write_text("alice:*:\neve:*:\n")
    checker = PasswordChecker(threads=1)
    file = ReadThroughFile(passwords, parse_password_file)
    directory = FileDirectory(file, thread, MemoryDirectory([]), MemoryEvents(), users)
    password, code = PasswordMethod(directory, checker), TotpMethod(factors, required="all", clock=lambda: NOW)

    def make(*required):
        return compose([password], [{"totp": code}[name] for name in required])

    yield make
    checker.close()


def request(user, password):
    return LoginRequest(user, password, "", ip_address("192.0.2.1"))


@pytest.mark.asyncio
async def test_a_user_without_a_password_logs_in_with_a_code_alone(make_login, path):
    path.write_text(f"HOTP alice - {KEY.hex()}\n")
    method = make_login("totp")
    accepted = await method.begin(request("alice", code_at(KEY, 0))).wait()
    assert isinstance(accepted, Accepted)
    assert not accepted.user.code_only
    again = await method.begin(request("alice", code_at(KEY, 0))).wait()
    assert isinstance(again, Refused)
    asked = await method.begin(request("alice", "")).wait()
    assert isinstance(asked, Challenge)
    assert isinstance(await method.answer(asked.state, {"password": code_at(KEY, 1)}).wait(), Accepted)


@pytest.mark.asyncio
async def test_without_an_entry_such_a_user_never_gets_in(make_login, path):
    path.write_text("HOTP nobody - 00\n")
    for user in ("alice", "eve"):
        outcome = await make_login("totp").begin(request(user, "x")).wait()
        assert outcome == Refused(outcome.text, "wrong_password")


@pytest.mark.asyncio
async def test_where_no_code_is_asked_for_the_record_says_so(make_login, path):
    """``Authenticator`` refuses it."""
    path.write_text(f"HOTP alice - {KEY.hex()}\n")
    outcome = await make_login().begin(request("alice", "x")).wait()
    assert outcome.user.code_only


@pytest.mark.asyncio
async def test_an_entry_that_went_meanwhile_lets_nobody_in(make_login, path):
    path.write_text(f"HOTP alice - {KEY.hex()}\n")
    asked = await make_login("totp").begin(request("alice", "")).wait()
    path.write_text("HOTP other - 00\n")
    refused = await make_login("totp").answer(asked.state, {"password": code_at(KEY, 0)}).wait()
    assert isinstance(refused, Refused)
    assert replace(refused, text="") == Refused("", "totp_not_enrolled", final=True, scored=False)
