# SPDX-License-Identifier: GPL-3.0-or-later
"""``/fleet``, ``/nodes`` and what operators do with nodes, over HTTP, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import functools
import re

import httpx
import pytest
import pytest_asyncio

from admin_api.app import create_app
from admin_api.console.forms import FORM_TYPE
from admin_api.console.sign_in import COOKIE
from admin_api.enforcement.api_rules import FORMAT_VERSION
from admin_api.enforcement.blocks import writer as block_writer
from admin_api.event_hub import EventHub
from admin_api.fleet.policy import canaries, rollout
from admin_api.http.identity import ALL_SCOPES
from admin_api.services import Services
from admin_api.tokens.service import create_token
from lab.timeouts import TIMEOUT
from tests.admin_api.fleet.membership.test_membership import answered
from tests.admin_api.fleet.policy.conftest import INSIDE, rule, votes, write
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import JournalEntry, Stage

pytestmark = pytest.mark.asyncio
NETWORK = "198.51.100.0/24"
COUNTERS = Counters(rx_packets=1, rx_bytes=700, tx_packets=2, tx_bytes=200)


@pytest_asyncio.fixture
async def callers(patient_requests, run_node):
    """Two nodes, and a client of the API of each."""
    nodes = [await run_node("n1"), await run_node("n2")]
    clients = []
    _, token = await create_token(nodes[0].store, "all", ALL_SCOPES, by="the tests")
    for running in nodes:
        services = Services(
            store=running.store,
            engine=running.engine,
            enforcement=running.enforcement,
            sessions=running.sessions,
            events=EventHub(),
            fleet=running.node,
            checks={"fleet": running.node.check},
        )
        transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False, client=("192.0.2.200", 4000))
        connect = functools.partial(httpx.AsyncClient, transport=transport, base_url="http://127.0.0.1")
        clients.append(connect(headers={"Authorization": f"Bearer {token}"}))
    yield (*nodes, *clients)
    for client in clients:
        await client.aclose()


async def test_the_fleet_and_its_nodes_are_shown(callers):
    _, other, client, _ = callers
    fleet = (await client.get("/api/v1/fleet")).json()
    assert (fleet["node"], fleet["state"], fleet["nodes"], fleet["known"]) == ("n1", "member", 2, 2)
    assert (fleet["on_store_loss"], fleet["in_split"], fleet["addresses"]) == ("local", "give_way", "nat")
    nodes = (await client.get("/api/v1/nodes")).json()["items"]
    assert [(node["name"], node["state"], node["this"]) for node in nodes] == [
        ("n1", "active", True),
        ("n2", "active", False),
    ]
    page = (await client.get("/api/v1/nodes?limit=1")).json()
    assert [node["name"] for node in page["items"]] == ["n1"]
    rest = (await client.get(f"/api/v1/nodes?limit=1&cursor={page['next_cursor']}")).json()
    assert [node["name"] for node in rest["items"]] == ["n2"]
    falling = (await client.get("/api/v1/nodes?sort=-name")).json()["items"]
    assert [node["name"] for node in falling] == ["n2", "n1"]
    await other.node.stop()
    assert (await client.get("/api/v1/nodes/n2")).json()["state"] == "left"
    metrics = (await client.get("/metrics")).text
    assert "ocsentry_fleet_member 1.0" in metrics
    assert "ocsentry_fleet_changes_behind 0.0" in metrics


async def test_a_block_says_on_how_many_nodes_it_is_in_force(callers, monkeypatch):
    monkeypatch.setattr(block_writer, "STORE_WAIT", TIMEOUT)  # so that it is stored, however slow the machine
    _, other, client, _ = callers
    body = {"cidr": NETWORK, "reason": "x", "ttl": 600}
    made = await client.post("/api/v1/blocks?wait=all&timeout=10", json=body)
    assert (made.status_code, made.json()["applied"]) == (201, [2, 2])
    assert other.refuses("198.51.100.7")
    await other.node.changes.stop()
    late = await client.post("/api/v1/blocks?wait=all&timeout=1.5", json={**body, "cidr": "203.0.113.77"})
    assert late.json()["applied"] == [1, 2]
    assert (await client.post("/api/v1/blocks", json={**body, "cidr": "203.0.113.78"})).json()["applied"] is None


async def test_a_drained_node_is_not_ready_until_it_is_resumed(callers, ask):
    _, other, client, of_other = callers
    assert (await of_other.get("/readyz")).status_code == 200
    drained = await client.post("/api/v1/nodes/n2:drain")
    assert (drained.status_code, drained.json()["state"]) == (200, "draining")
    await answered(other.node.membership, lambda answer: answer.state == "draining")
    problems = (await of_other.get("/readyz")).json()["problems"]
    assert problems == ["fleet: an operator drains this node; end it with: ocsentry node resume n2"]
    assert (await client.get("/readyz")).status_code == 200
    assert (await client.post("/api/v1/nodes/n2:resume")).json()["state"] == "active"
    await answered(other.node.membership, lambda answer: answer.state == "active")
    assert (await of_other.get("/readyz")).status_code == 200
    assert ask("SELECT action FROM audit ORDER BY serial DESC LIMIT 2") == [("node_resumed",), ("node_drained",)]
    assert (await client.post("/api/v1/nodes/nowhere:drain")).status_code == 404


async def test_only_a_node_that_is_gone_is_forgotten(callers, view, ask):
    _, other, client, _ = callers
    alive = await client.delete("/api/v1/nodes/n2")
    assert (alive.status_code, alive.json()["code"]) == (409, "node_is_live")
    ask(
        "INSERT INTO fleet.sessions (id, user_key, node, epoch, cookie_digest, source) VALUES"
        " ('\\x01', 'alice', (SELECT id FROM fleet.nodes WHERE name = 'n2'), 1, '\\x00', '192.0.2.1')"
    )
    await other.node.stop()
    assert (await client.delete("/api/v1/nodes/n2")).status_code == 204
    assert [node["name"] for node in (await client.get("/api/v1/nodes")).json()["items"]] == ["n1"]
    assert ask("SELECT count(*) FROM fleet.sessions") == [(0,)]
    assert (await client.delete("/api/v1/nodes/n2")).status_code == 404


async def test_a_disabled_user_is_disconnected_though_the_other_nodes_cannot_be_asked(callers, view, ask):
    here, _, client, _ = callers
    made = await client.post("/api/v1/users", json={"name": "alice", "password": "correct horse battery"})
    here.sessions.add(view("1", user="alice"))
    ask("ALTER TABLE fleet.sessions RENAME TO sessions_before")
    ask(
        "CREATE FUNCTION fleet.away() RETURNS SETOF fleet.sessions_before LANGUAGE plpgsql AS"
        " 'BEGIN RAISE EXCEPTION USING ERRCODE = ''53300''; END'"  # as of a database with too many connections
    )
    ask("CREATE VIEW fleet.sessions AS SELECT * FROM fleet.away()")
    etag = {"If-Match": made.headers["ETag"]}
    tried = await client.patch("/api/v1/users/alice?dry_run=true", json={"enabled": False}, headers=etag)
    assert tried.status_code == 503
    changed = await client.patch("/api/v1/users/alice", json={"enabled": False}, headers=etag)
    assert (changed.status_code, changed.json()["sessions_cut"]) == (200, 1)
    assert here.sessions.list() == []


async def test_a_server_without_a_fleet_says_so(server):
    for path in ("/api/v1/fleet", "/api/v1/nodes", "/api/v1/nodes/n1"):
        answer = await server.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert "no node of a fleet" in answer.json()["detail"]
    made = await server.client.post("/api/v1/blocks?wait=all", json={"cidr": NETWORK})
    assert made.json()["applied"] == [1, 1]
    assert "ocsentry_fleet" not in (await server.client.get("/metrics")).text


async def sign_in(client):
    """Returns the headers of forms of the console, and those of its pages."""
    form = {"Origin": "http://127.0.0.1", "Content-Type": FORM_TYPE}
    secret = f"secret={client.headers['Authorization'].partition(' ')[2]}"
    signed_in = await client.post("/console/sign-in", headers=form, content=secret)
    cookie = {"Cookie": f"{COOKIE}={signed_in.cookies[COOKIE]}"}
    return form | cookie, cookie


async def test_the_console_shows_drains_and_forgets_nodes(callers):
    _, other, client, _ = callers
    form, cookie = await sign_in(client)

    async def press(path):
        answer = await client.post(f"/console/nodes/{path}", headers=form, content="")
        assert answer.status_code == 303, answer.text
        return (await client.get(answer.headers["location"], headers=cookie)).text

    page = (await client.get("/console/nodes", headers=cookie)).text
    for text in ("of 2 nodes", "this one", "Drain n1", "Drain n2", 'href="/console/nodes" aria-current="page"'):
        assert text in page
    part = (await client.get("/console/nodes", headers={**cookie, "HX-Request": "true"})).text
    assert part.lstrip().startswith('<div id="nodes"')
    assert "takes no new sessions" in (drained := await press("n2/drain"))
    assert "Resume n2" in drained
    assert "Drain n2" in await press("n2/resume")
    await other.node.stop()
    assert "Forget n2" in (await client.get("/console/nodes", headers=cookie)).text
    assert "of 1 node<" in await press("n2/forget")


async def test_a_session_of_another_node_is_ended_by_its_id(callers, ask, view):
    one, other, client, _ = callers
    session = "0123456789abcdef" * 2
    other.sessions.add(view(session, user="alice"))
    ask(
        "INSERT INTO fleet.sessions (id, user_key, node, epoch, cookie_digest, source, hard_end)"
        " SELECT decode(:id, 'hex'), 'alice', id, epoch, '', '192.0.2.1', clock_timestamp() + interval '1 hour'"
        " FROM fleet.nodes WHERE name = 'n2'",
        id=session,
    )
    path = f"/api/v1/sessions/{session}"
    assert (await client.delete(f"{path}?dry_run=true")).json()["sessions_cut"] == 1
    assert [seen.id for seen in other.sessions.list()] == [session]
    assert (await client.delete(f"{path}?reason=bye")).status_code == 204
    async with asyncio.timeout(TIMEOUT):
        await other.node.changes.wait_for(one.store.published)
    assert other.sessions.list() == []
    assert other.sessions.farewells[session].endswith("bye")
    assert ask("SELECT hard_end <= clock_timestamp() FROM fleet.sessions") == [(True,)], "its cookie opens nothing"
    for unknown in ("f" * 32, "no-session"):
        assert (await client.delete(f"/api/v1/sessions/{unknown}")).status_code == 404
    audit = (await client.get("/api/v1/audit?action=session_killed")).json()["items"]
    assert [entry["target"] for entry in audit] == [session]


async def test_the_sessions_of_all_nodes_are_one_list(callers, ask, view):
    one, other, client, of_other = callers
    ids = [f"{number:032x}" for number in range(1, 6)]
    for place, session in enumerate(ids):
        running = (one, other)[place % 2]
        made = view(session, user=f"user{place}", groups=("staff",) if place < 2 else (), counters=COUNTERS)
        running.sessions.add(made)
        assert await running.store.record([JournalEntry(Stage.OPENED, made)]) == []
        ask(
            "INSERT INTO fleet.sessions (id, user_key, node, epoch, cookie_digest, source, lost_at)"
            " SELECT decode(:id, 'hex'), :user, id, epoch, '', '192.0.2.1', CAST(:lost AS timestamptz)"
            " FROM fleet.nodes WHERE name = :node",
            id=session,
            user=made.user,
            node=running.node.settings.name,
            lost="2030-01-01" if place == 3 else None,
        )

    async def listed(query="", of=client):
        found = await of.get(f"/api/v1/sessions?{query}")
        assert found.status_code == 200, found.text
        return [(row["id"], row["node"]) for row in found.json()["items"]]

    places = [(session, ("n1", "n2")[place % 2]) for place, session in enumerate(ids)]
    assert await listed() == places
    assert await listed(of=of_other) == places
    assert await listed("sort=-user") == places[::-1]
    assert await listed("sort=started_at") == places
    assert await listed("node=n2") == [places[1], places[3]]
    assert await listed("node=n1", of=of_other) == places[::2]
    assert await listed("local=true") == places[::2]
    assert await listed("group=staff") == places[:2]
    assert await listed("user=user3") == [places[3]]
    assert await listed("state=roaming") == [places[3]]
    assert await listed("network=203.0.113.0/24") == []
    for order in ("id", "-id", "user", "-started_at", "rx_bytes"):
        walked, cursor = [], ""
        while cursor is not None:
            page = (await client.get(f"/api/v1/sessions?limit=2&sort={order}{cursor}")).json()
            walked += [(row["id"], row["node"]) for row in page["items"]]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        assert walked == (places[::-1] if order.startswith("-") else places), order
    shown = (await client.get(f"/api/v1/sessions/{ids[1]}")).json()
    assert (shown["node"], shown["user"], shown["counters"]["rx_bytes"]) == ("n2", "user1", COUNTERS.rx_bytes)
    cut = await client.delete("/api/v1/sessions?user=user1&dry_run=true")
    assert cut.json()["sessions_cut"] == 1
    page = await client.get("/console/sessions", headers=(await sign_in(client))[1])
    assert "<td>n2</td>" in page.text


async def test_a_policy_is_tried_on_one_node_over_http(callers, ask):
    one, other, client, second = callers
    for running in (one, other):
        await votes(running, ask)
    etag = (await client.get("/api/v1/policy")).headers["ETag"]
    rules = [{"id": "guests", "type": "blacklist", "remote_addr": NETWORK}]
    body = {"document": {"wolfsentry": {"version": FORMAT_VERSION, "rules": rules}}, "canary": ["n2"]}
    headers = {"If-Match": etag}
    refused = await client.post("/api/v1/policy/apply", json=body, headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/confirm_within")
    done = await client.post("/api/v1/policy/apply", json={**body, "confirm_within": 600}, headers=headers)
    assert (done.status_code, done.headers["ETag"]) == (200, etag)
    canary = (await second.get("/api/v1/fleet")).json()["canary"]
    assert (canary["state"], [node["name"] for node in canary["nodes"]]) == ("running", ["n2"])
    assert (canary["confirm_by"], canary["by"].split("#")[0]) == (done.json()["confirm_by"], "all")
    await one.node.changes.wait_for(ask("SELECT revision FROM fleet.head")[0][0])
    assert (await client.post("/api/v1/policy/rollback", json={"reason": "too strict"})).status_code == 200
    canary = (await second.get("/api/v1/fleet")).json()["canary"]
    assert (canary["state"], canary["why"]) == ("withdrawn", "too strict")


async def test_rule_files_are_tried_on_one_node_and_confirmed_in_the_console(callers, rules_folder, ask, monkeypatch):
    monkeypatch.setattr(canaries, "SPREAD_WAIT", TIMEOUT)  # until the node has it, however slow the machine
    monkeypatch.setattr(rollout, "SPREAD_WAIT", TIMEOUT)
    one, other, client, _ = callers
    for running in (one, other):
        await votes(running, ask)
    write(rules_folder, "more.json", rule("guests"))
    form, cookie = await sign_in(client)

    async def press(path, content=""):
        answer = await client.post(f"/console/policy/{path}", headers=form, content=content)
        return answer.status_code

    async def page(**headers):
        return (await client.get("/console/policy/versions", headers={**cookie, **headers})).text

    assert "Try on these nodes" in await page()
    assert await press("canary", "minutes=10") == 403, "no node is chosen"
    assert await press("canary", "node%3An2=on&minutes=0") == 422
    assert await press("canary", "node%3Agone=on&minutes=10") == 422
    assert await press("canary", "node%3An2=on&minutes=10&reason=Ticket+4711") == 303
    assert (one.refuses(INSIDE), other.refuses(INSIDE)) == (False, True)
    shown = await page()
    assert re.search(
        r"A policy by \S+ is tried on n2, and ends .* unless it is confirmed\.\s+\(Ticket 4711\)", shown, re.DOTALL
    )
    assert "in force, 0 cut" in shown
    assert shown.count("agreed") == 2
    assert "Try on these nodes" not in shown
    assert await press("confirm") == 303
    assert (one.refuses(INSIDE), other.refuses(INSIDE)) == (True, True)
    assert "</span> confirmed</span>" in await page()
    (rules_folder / "more.json").unlink()
    assert await press("canary", "node%3An1=on&minutes=10") == 303
    assert (one.refuses(INSIDE), other.refuses(INSIDE)) == (False, True)
    assert await press("rollback") == 303
    assert (one.refuses(INSIDE), other.refuses(INSIDE)) == (True, True)
    fragment = await page(**{"HX-Request": "true"})
    assert "</span> withdrawn</span>" in fragment
    assert "<h1" not in fragment
