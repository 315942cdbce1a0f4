# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists in any order that they offer, page by page, and only what filters leave."""

from __future__ import annotations

import base64
import math
from datetime import UTC, datetime, timedelta

import pytest

from sentry_engine import Reason
from tests.admin_api.conftest import make_view
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import CloseReason, JournalEntry, Stage

pytestmark = pytest.mark.asyncio

START = datetime(2030, 1, 1, tzinfo=UTC)


async def walk(client, url, name):
    """Returns the values of ``name`` of all pages of two rows."""
    found, cursor = [], ""
    while cursor is not None:
        page = (await client.get(f"{url}&limit=2{cursor and f'&cursor={cursor}'}")).json()
        found += [row[name] for row in page["items"]]
        cursor = page["next_cursor"]
    return found


@pytest.fixture
def sessions(server):
    for number, (user, address) in enumerate(
        [("bob", "192.0.2.1"), ("alice", "192.0.2.2"), ("carol", "2001:db8::1"), ("alice", "203.0.113.7")]
    ):
        server.sessions.add(
            make_view(
                f"s{number}",
                user=user,
                address=address,
                groups=("staff",) if number < 2 else (),
                transport="dtls" if number == 3 else "tls",
                started_at=START - timedelta(hours=number),
                counters=Counters(rx_bytes=number * 10, tx_bytes=7),
            )
        )
    return server.client


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["s0", "s1", "s2", "s3"]),
        ("sort=-id", ["s3", "s2", "s1", "s0"]),
        ("sort=user", ["s1", "s3", "s0", "s2"]),
        ("sort=-user", ["s2", "s0", "s3", "s1"]),
        ("sort=started_at", ["s3", "s2", "s1", "s0"]),
        ("sort=-rx_bytes", ["s3", "s2", "s1", "s0"]),
        ("sort=-tx_bytes", ["s3", "s2", "s1", "s0"]),
        ("user=alice", ["s1", "s3"]),
        ("group=staff", ["s0", "s1"]),
        ("network=192.0.2.0/24", ["s0", "s1"]),
        ("network=2001:db8::/32", ["s2"]),
        ("transport=dtls", ["s3"]),
        ("state=roaming", []),
        ("state=connected&sort=-user&transport=tls", ["s2", "s0", "s1"]),
    ],
)
async def test_sessions(sessions, query, ids):
    assert await walk(sessions, f"/api/v1/sessions?{query}", "id") == ids


def cursor(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text", ['["-user", "bob", "s0"]', '["user", 3, "s0"]', '["user", "bob"]', '["user", null, "s0"]', "user", "[]"]
)
async def test_a_cursor_of_another_order_is_refused(sessions, text):
    answer = await sessions.get(f"/api/v1/sessions?sort=user&limit=2&cursor={cursor(text)}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/cursor"


async def test_an_order_that_a_list_has_not_is_refused(sessions):
    for path in ("sessions", "users", "blocks", "penalties"):
        answer = await sessions.get(f"/api/v1/{path}?sort=colour")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/sort"), path


async def test_users_and_blocks(server):
    for name in ("bob", "alice", "carol"):
        body = {"name": name, "password_hash": "$5$saltsaltsalt$Np4vQXzVQVZRzXAwOWeF8GMFdzPPkgOj9cBrHXCkm/8"}
        await server.client.post("/api/v1/users", json=body | {"enabled": name != "bob"})
    assert await walk(server.client, "/api/v1/users?sort=-name", "name") == ["carol", "bob", "alice"]
    assert await walk(server.client, "/api/v1/users?enabled=true", "name") == ["alice", "carol"]
    networks = [f"198.51.100.{number}/32" for number in range(5)]
    for network in networks:
        await server.client.post("/api/v1/blocks", json={"cidr": network})
    assert await walk(server.client, "/api/v1/blocks?sort=-created_at", "cidr") == networks[::-1]
    assert await walk(server.client, "/api/v1/blocks?sort=created_at", "cidr") == networks


async def test_history_and_audit(server):
    for number, address in enumerate(["192.0.2.1", "192.0.2.2", "192.0.2.1"]):
        view = make_view(f"s{number}", address=address, started_at=START + timedelta(days=number))
        await server.store.record([JournalEntry(Stage.OPENED, view)])
    await server.store.record([JournalEntry(Stage.CLOSED, make_view("s0"), CloseReason.LOGOUT)])
    history = "/api/v1/sessions/history?"
    assert await walk(server.client, f"{history}address=192.0.2.1", "id") == ["s2"]  # s0 ended elsewhere
    assert await walk(server.client, f"{history}end_reason=logout", "id") == ["s0"]
    span = "since=2030-01-02T00:00:00Z&until=2030-01-03T00:00:00Z"
    assert await walk(server.client, f"{history}{span}", "id") == ["s1"]
    await server.client.post("/api/v1/blocks", json={"cidr": "198.51.100.7"})
    found = await walk(server.client, "/api/v1/audit?action=block_added&target=198.51.100.7/32", "action")
    assert found == ["block_added"]
    assert await walk(server.client, "/api/v1/audit?actor=nobody", "action") == []
    assert await walk(server.client, "/api/v1/audit?until=2001-01-01T00:00:00Z", "action") == []


async def test_penalties_and_decisions(server):
    for seconds, network, reason in (
        (60, "192.0.2.1", Reason.PENALTY),
        (30, "198.51.100.7", Reason.BLACKLISTED),
        (math.inf, "192.0.2.2", Reason.PENALTY),
    ):
        server.engine.penalize(network, seconds, reason=reason)
    penalties = "/api/v1/penalties?"
    first, second, other = "192.0.2.1/32", "192.0.2.2/32", "198.51.100.7/32"
    assert await walk(server.client, f"{penalties}sort=-network", "network") == [other, second, first]
    assert await walk(server.client, f"{penalties}sort=until", "network") == [other, first, second]
    assert await walk(server.client, f"{penalties}network=192.0.2.0/24", "network") == [first, second]
    assert await walk(server.client, f"{penalties}reason=blacklisted", "network") == [other]
    for number in range(5):
        server.services.events.emit("login_refused", user=f"u{number}", address="192.0.2.9", reason="wrong_password")
    found = await walk(server.client, "/api/v1/decisions?reason=wrong_password", "fields")
    assert [fields["user"] for fields in found] == ["u4", "u3", "u2", "u1", "u0"]
