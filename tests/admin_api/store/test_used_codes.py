# SPDX-License-Identifier: GPL-3.0-or-later
"""Of many logins with one code at once, in two processes, one gets in: by SQLite and by PostgreSQL.

OCSENTRY_LOGINS: logins at once (1000 before a release).
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

import pytest

from admin_api.second_factors.secret_box import KEY_SIZE, SecretBox
from admin_api.second_factors.stored_factors import StoredFactors
from admin_api.store import Store, UserAttributes

pytestmark = pytest.mark.asyncio
RIVALS = int(os.environ.get("OCSENTRY_LOGINS", "30"))
BOX = SecretBox(bytes(KEY_SIZE))


async def test_one_code_opens_one_login(store_url):
    async with AsyncExitStack() as opened:
        processes = []
        for _ in range(2):
            store = await Store.open(store_url)
            opened.push_async_callback(store.close)
            processes.append(StoredFactors(store, BOX))
        async with store.write() as unit:
            user = await unit.users.add("alice", "$argon2id$x", UserAttributes())
            row = await unit.totp.begin(user, BOX.seal(b"secret", user.key))
            await unit.totp.confirm(row, 100, [BOX.digest_code("ABCDEFGH", user.key)])
        rivals = [processes[number % 2] for number in range(RIVALS)]
        steps = await asyncio.gather(*(one.use_step("alice", 200, f"login{n}") for n, one in enumerate(rivals)))
        codes = await asyncio.gather(
            *(one.use_backup_code("alice", "ABCDEFGH", f"login{n}") for n, one in enumerate(rivals))
        )
    assert (sum(steps), sum(codes)) == (1, 1)
