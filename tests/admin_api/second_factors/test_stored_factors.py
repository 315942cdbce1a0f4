# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes are used up in the database, so neither two logins nor two processes can share one."""

from __future__ import annotations

import pytest
import pytest_asyncio

from admin_api.second_factors.secret_box import KEY_SIZE, SealError, SecretBox
from admin_api.second_factors.stored_factors import StoredFactors
from admin_api.store import UserAttributes
from vpn_frontend.auth.totp.secret import OtpSecret

pytestmark = pytest.mark.asyncio
SECRET = b"12345678901234567890"
BOX = SecretBox(bytes(KEY_SIZE))


async def enrol(store, name, *, confirmed=True, step=100):
    async with store.write() as unit:
        user = await unit.users.add(name, "$argon2id$x", UserAttributes())
        row = await unit.totp.begin(user, BOX.seal(SECRET, user.key))
        if confirmed:
            await unit.totp.confirm(row, step, [BOX.digest_code("ABCDEFGH", user.key)])


@pytest_asyncio.fixture
async def factors(store):
    await enrol(store, "Alice")
    await enrol(store, "bob")
    await enrol(store, "carol", confirmed=False)
    return StoredFactors(store, BOX)


async def test_the_secret_of_a_confirmed_enrolment(factors):
    assert await factors.find_secret("ALICE") == OtpSecret(SECRET)
    assert await factors.find_secret("carol") is None
    assert await factors.find_secret("nobody") is None
    assert not await factors.use_step("carol", 500, "x")


async def test_a_step_is_used_once(factors):
    assert not await factors.use_step("alice", 100, "x"), "the code that confirmed the enrolment is used up"
    assert await factors.use_step("alice", 101, "x")
    assert await factors.use_step("alice", 101, "x"), "the same login again"
    assert not await factors.use_step("alice", 101, "y")
    assert not await factors.use_step("alice", 99, "x"), "what came before is used up"
    assert await factors.use_step("bob", 101, "y")
    assert await factors.use_step("alice", 102, "y")
    assert not await factors.use_step("alice", 101, "x"), "a login under way cannot go back"


async def test_a_backup_code_is_used_once(factors, store):
    assert not await factors.use_backup_code("alice", "ABCDEFG2", "x")
    assert await factors.use_backup_code("alice", "ABCDEFGH", "x")
    assert await factors.use_backup_code("alice", "ABCDEFGH", "x")
    assert not await factors.use_backup_code("alice", "ABCDEFGH", "y")
    assert await factors.use_backup_code("bob", "ABCDEFGH", "y")
    async with store.read() as unit:
        assert await unit.totp.count_backup_codes(await unit.users.get("alice")) == 0


async def test_another_key_opens_nothing(store, factors):
    with pytest.raises(SealError):
        await StoredFactors(store, SecretBox(b"\1" * KEY_SIZE)).find_secret("alice")


async def test_a_user_who_is_removed_takes_the_enrolment_along(store, factors):
    async with store.write() as unit:
        await unit.users.remove(await unit.users.get("alice"))
    async with store.write() as unit:
        again = await unit.users.add("alice", "$argon2id$x", UserAttributes())
        assert await unit.totp.get(again) is None
        assert await unit.totp.count_backup_codes(again) == 0
    assert await factors.find_secret("alice") is None
