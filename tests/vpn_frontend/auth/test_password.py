# SPDX-License-Identifier: GPL-3.0-or-later
import asyncio
import threading
from ipaddress import ip_address

import pytest

from lab.timeouts import TIMEOUT
from vpn_frontend.auth import password
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.password import OverloadError, PasswordChecker, PasswordMethod, hash_password, matches
from vpn_frontend.auth.result import WRONG, Refused
from vpn_frontend.ports import UserRecord
from vpn_frontend.testing import MemoryDirectory


def test_a_password_matches_its_own_hash_only():
    encoded = hash_password("gr\u00fcn")
    assert encoded.startswith("$argon2id$")
    assert matches(encoded, "gr\u00fcn")
    assert not matches(encoded, "gr\u00fcn ")
    assert not matches(encoded, "")


@pytest.mark.parametrize(
    "encoded", [None, "", "secret", "$argon2id$v=19$m=1,t=1", "$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA"]
)
def test_without_a_valid_hash_no_password_matches(encoded):
    assert not matches(encoded, "secret")


def test_a_crypt_hash_is_accepted():
    encoded = "$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi."  # openssl passwd -5 -salt saltstring secret
    assert matches(encoded, "secret")
    assert not matches(encoded, "wrong")


def test_an_unknown_user_costs_a_real_verification(monkeypatch):
    verified = []
    monkeypatch.setattr(password, "_hasher", type("Hasher", (), {"verify": lambda _, *given: verified.append(given)})())
    assert not matches(None, "secret")
    assert verified == [(password._UNKNOWN, "secret")]


@pytest.mark.asyncio
async def test_checks_beyond_the_limit_are_refused_at_once(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(password, "matches", lambda *_: release.wait(TIMEOUT))
    checker = PasswordChecker(threads=1, max_waiting=3)
    try:
        waiting = [asyncio.create_task(checker.check(None, "x")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadError):
            await checker.check(None, "x")
        release.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert await checker.check(None, "x")
    finally:
        release.set()
        checker.close()


@pytest.mark.asyncio
async def test_a_check_too_slow_is_overload_and_keeps_its_place_until_done(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(password, "matches", lambda *_: release.wait(TIMEOUT))
    checker = PasswordChecker(threads=1, max_waiting=1, deadline=0.01)
    try:
        with pytest.raises(OverloadError):
            await checker.check(None, "x")
        with pytest.raises(OverloadError):
            await checker.check(None, "x")
        assert checker._waiting == 1
    finally:
        release.set()
        checker.close()


@pytest.mark.asyncio
async def test_a_user_without_a_hash_is_refused_at_the_cost_of_a_wrong_password(monkeypatch):
    verified = []
    monkeypatch.setattr(password, "matches", lambda *given: verified.append(given) or False)
    directory = MemoryDirectory([UserRecord("alice"), UserRecord("bob", "$argon2id$x")], recalls=True)
    checker = PasswordChecker(threads=1, remember=60)
    method = PasswordMethod(directory, checker)
    try:
        for name in ("alice", "bob", "nobody"):
            refused = await method.begin(LoginRequest(name, "secret", "", ip_address("192.0.2.1"))).wait()
            assert refused == Refused(WRONG, "wrong_password")
    finally:
        checker.close()
    assert verified == [(None, "secret"), ("$argon2id$x", "secret"), (None, "secret")]


def test_a_password_is_one_round():
    method = PasswordMethod(MemoryDirectory(), None)
    with pytest.raises(TypeError):
        method.answer(None, {})
