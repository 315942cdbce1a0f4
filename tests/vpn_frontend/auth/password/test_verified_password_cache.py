# SPDX-License-Identifier: GPL-3.0-or-later
import asyncio

import pytest

from vpn_frontend.auth.password import checker as checks
from vpn_frontend.auth.password.checker import PasswordChecker
from vpn_frontend.auth.password.verified_password_cache import VerifiedPasswordCache


def test_only_the_same_hash_and_password_are_verified_and_only_for_the_lifetime():
    cache = VerifiedPasswordCache(300)
    cache.add("$argon2id$a", "secret", now=1000)
    assert cache.has("$argon2id$a", "secret", now=1299.9)
    assert not cache.has("$argon2id$a", "Secret", now=1000)
    assert not cache.has("$argon2id$b", "secret", now=1000)
    assert not cache.has("$argon2id$", "asecret", now=1000)  # the border between the two counts
    assert not cache.has("$argon2id$a", "secret", now=1300)
    assert len(cache) == 0


def test_using_it_does_not_prolong_it():
    cache = VerifiedPasswordCache(10)
    cache.add("hash", "secret", now=0)
    assert cache.has("hash", "secret", now=9)
    assert not cache.has("hash", "secret", now=10)


def test_the_oldest_is_evicted_and_nothing_is_kept_without_a_lifetime():
    cache = VerifiedPasswordCache(300, capacity=2)
    for number in range(3):
        cache.add(f"hash {number}", "secret", now=number)
    assert [cache.has(f"hash {number}", "secret", now=3) for number in range(3)] == [False, True, True]
    off = VerifiedPasswordCache(0)
    off.add("hash", "secret", now=0)
    assert not off.has("hash", "secret", now=0)


def test_two_processes_share_no_mac():
    first, second = VerifiedPasswordCache(300), VerifiedPasswordCache(300)
    assert first._mac("hash", "secret") != second._mac("hash", "secret")


@pytest.mark.asyncio
async def test_a_right_password_is_hashed_once_and_a_wrong_one_each_time(monkeypatch):
    hashed = []

    def matches(encoded, password, _others):
        hashed.append(password)
        return password == "right" and encoded is not None

    monkeypatch.setattr(checks, "matches", matches)
    checker = PasswordChecker(threads=1, remember=300, clock=lambda: 0.0)
    try:
        assert [await checker.check("hash", "right") for _ in range(3)] == [True] * 3
        assert [await checker.check("hash", "wrong") for _ in range(2)] == [False] * 2
        assert [await checker.check(None, "right") for _ in range(2)] == [False] * 2
        assert await checker.check("another hash", "right")
        assert hashed == ["right", "wrong", "wrong", "right", "right", "right"]
        assert await asyncio.gather(*(checker.check("hash", "right") for _ in range(100))) == [True] * 100
    finally:
        checker.close()
