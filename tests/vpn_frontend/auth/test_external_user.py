# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from vpn_frontend.auth.external_user import find_external_user
from vpn_frontend.ports import UserRecord
from vpn_frontend.testing import MemoryDirectory

pytestmark = pytest.mark.asyncio


async def test_a_user_without_a_record_has_the_server_s_groups():
    found = await find_external_user(MemoryDirectory(), "Eve", ["staff"])
    assert found == UserRecord("eve", groups=("staff",), external=True)
    assert found.password_hash is None


async def test_a_record_of_the_directory_holds():
    directory = MemoryDirectory([UserRecord("bob", "hash", groups=("ops", "staff"), enabled=False, max_same_clients=1)])
    found = await find_external_user(directory, "bob", ["staff"])
    assert (found.enabled, found.max_same_clients, found.external) == (False, 1, True)
    assert found.groups == ("staff", "ops")


async def test_a_directory_that_fails_accepts_no_user():
    directory = MemoryDirectory()
    directory.error = ConnectionError("database is gone")
    with pytest.raises(ConnectionError):
        await find_external_user(directory, "bob")
