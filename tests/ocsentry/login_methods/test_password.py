# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace
from ipaddress import ip_address
from types import SimpleNamespace

import pytest

from ocsentry.login_methods.context import MethodContext
from ocsentry.login_methods.password import open_password
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.password.hashes import hash_password
from vpn_frontend.auth.result import Accepted, FirstForm
from vpn_frontend.ports import UserRecord
from vpn_frontend.settings import AuthSettings, VpnSettings
from vpn_frontend.testing import MemoryDirectory, MemoryEvents

LOGIN = LoginRequest("alice", "secret", "", ip_address("192.0.2.1"))


@pytest.mark.asyncio
async def test_the_schemes_of_imported_users_are_known_from_the_start():
    alice, carol = UserRecord("alice", hash_password("secret")), UserRecord("carol", "$5$saltsalt$" + "x" * 43)
    config = SimpleNamespace(vpn=VpnSettings(auth=AuthSettings(remember_passwords=60)))
    context = MethodContext(config, MemoryDirectory([alice, carol], recalls=True), MemoryEvents(), None)
    async with open_password(context) as method:
        assert carol.password_hash in method._passwords._samples.values()
        assert await method.begin(LOGIN).wait() == Accepted(alice, ())
        assert method.begin(LOGIN) == Accepted(alice, ()), "remembered, as the configuration says"
        assert method.begin(replace(LOGIN, submitted=False)) == FirstForm()
    assert method._passwords._closed
