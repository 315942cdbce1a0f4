# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists in any order that they offer, page by page, and only what filters leave."""

from __future__ import annotations

import base64
import math
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from admin_api.app import describe_api
from sentry_engine import Reason
from tests.admin_api.conftest import make_view
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import CloseReason, JournalEntry, Stage, WaitingLogin

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


def cursor(key):
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "key", ['["-user", "bob", "s0"]', '["user", 3, "s0"]', '["user", "bob"]', '["user", null, "s0"]', "user", "[]"]
)
async def test_a_cursor_of_another_order_is_refused(sessions, key):
    answer = await sessions.get(f"/api/v1/sessions?sort=user&limit=2&cursor={cursor(key)}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/cursor"


async def test_an_order_that_a_list_has_not_is_refused(sessions):
    lists = {
        path: operation
        for path, methods in describe_api()["paths"].items()
        for operation in methods.values()
        if "cursor" in {one["name"] for one in operation.get("parameters", ())}
    }
    assert len(lists) > 15
    for path in lists:
        answer = await sessions.get(f"{path.replace('{webhook_id}', 'x')}?sort=colour")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/sort"), path


async def test_lists_of_what_happened_begin_with_the_oldest_if_asked(server):
    for number in range(3):
        view = make_view(f"s{number}", started_at=START + timedelta(days=number))
        await server.store.record([JournalEntry(Stage.OPENED, view)])
        await server.client.post("/api/v1/blocks", json={"cidr": f"198.51.100.{number}"})
        rule = {"id": f"r{number}", "type": "blacklist", "remote_addr": f"203.0.113.{number}"}
        await server.client.post("/api/v1/rules", json=rule)
        server.services.events.emit("login_refused", user=f"u{number}", address="192.0.2.9", reason="wrong_password")
    for path, sort, name in (
        ("sessions/history", "started_at", "id"),
        ("audit", "at", "serial"),
        ("policy/versions", "number", "number"),
        ("decisions", "at", "at"),
    ):
        rising, falling, usual = [
            await walk(server.client, f"/api/v1/{path}?{query}", name)
            for query in (f"sort={sort}", f"sort=-{sort}", "")
        ]
        assert rising == sorted(rising) == falling[::-1] == usual[::-1], path
        assert len(rising) >= 3
        page = (await server.client.get(f"/api/v1/{path}?sort={sort}&limit=2")).json()
        other = await server.client.get(f"/api/v1/{path}?cursor={page['next_cursor']}")
        assert (other.status_code, other.json()["errors"][0]["pointer"]) == (422, "/cursor"), path


async def test_the_long_tables_are_read_by_their_keys(server):
    """A page costs its own rows: neither a sort nor a scan of the table."""
    asked = []
    async with server.store.read() as unit:
        session = unit.audit._session

        def note(connection, cursor, statement, parameters, *_):
            if statement.startswith("SELECT"):
                asked.append((statement, parameters))

        event.listen(session.get_bind(), "before_cursor_execute", note)
        for rows in (unit.audit, unit.sessions, unit.revisions):
            for rising in (False, True):
                await rows.page(past=5, limit=3, rising=rising)
        await unit.webhooks.page("w", past="x", limit=3, rising=True)
        event.remove(session.get_bind(), "before_cursor_execute", note)
        assert len(asked) == 7
        connection = await session.connection()
        for statement, parameters in asked:
            rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plan = " ".join(row[3] for row in rows)
            assert "SEARCH" in plan, statement
            assert ("TEMP B-TREE" in plan) == ("webhook_deliveries" in plan), plan  # of one webhook are some 1000


async def test_logins_that_wait(server):
    for number, user in enumerate(["carol", "alice", "bob"]):
        since = START - timedelta(hours=number)
        server.sessions.waiting.append(WaitingLogin(f"w{number}", user, (), None, "agent", since, 300, False))
    waiting = "/api/v1/sessions/waiting?"
    assert await walk(server.client, waiting, "id") == ["w0", "w1", "w2"]
    assert await walk(server.client, f"{waiting}sort=user", "id") == ["w1", "w2", "w0"]
    assert await walk(server.client, f"{waiting}sort=logged_in_at", "id") == ["w2", "w1", "w0"]
    assert await walk(server.client, f"{waiting}user=bob", "id") == ["w2"]


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
