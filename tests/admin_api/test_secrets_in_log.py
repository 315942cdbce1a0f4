# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret reaches the log at its most talkative, in success or in failure."""

from __future__ import annotations

import io
import logging

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from ocsentry.observability.log import Log

pytestmark = pytest.mark.asyncio

PASSWORD = "a very secret password"


@pytest.fixture
def talkative():
    """Returns a function that ends the log and returns everything that was logged at the level debug."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log = Log("debug", "console", stream)

    def said():
        log.close()
        return stream.getvalue()

    yield said
    root.handlers, root.level = handlers, level


async def test_a_login_and_a_new_user(talkative, server):
    made = await server.client.post("/api/v1/users", json={"name": "alice", "password": PASSWORD})
    assert made.status_code == 201
    token = (await server.client.post("/api/v1/tokens", json={"name": "x", "scopes": ["users:read"]})).json()["token"]
    await server.anonymous.get("/api/v1/users", headers={"Authorization": f"Bearer {token}"})
    await server.services.token_uses.written()
    record = await server.store.find("alice")
    copy = {"hash": record.password_hash}
    query = text("INSERT INTO users SELECT * FROM users WHERE password_hash = :hash")
    async with server.store.read() as unit:
        with pytest.raises(IntegrityError) as caught:
            await unit.users._session.execute(query, copy)
    logging.getLogger("admin_api").error("a statement failed", exc_info=caught.value)
    said = talkative()
    assert "a statement failed" in said
    for secret in (PASSWORD, record.password_hash, token, token.rsplit("_", 1)[1], server.token):
        assert secret not in said
