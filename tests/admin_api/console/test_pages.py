# SPDX-License-Identifier: GPL-3.0-or-later
"""Every page for every role, in an empty server and in one with data."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from ipaddress import ip_network

import pytest

from admin_api.clock import SYSTEM_CLOCK
from admin_api.console.page_list import PAGES
from admin_api.roles import Role

pytestmark = pytest.mark.asyncio
HOSTILE = "<img src=x onerror=alert(1)>\"'&"
VALUES = {
    "{id}": "s1",
    "{id:path}": "corporate",
    "{address}": "198.51.100.7",
    "{name}": "alice",
    "{number:int}": "1",
    "{key}": "log.level",
}
STREAMS = {"/live/stream"}


def path_of(page, hook="none"):
    """``hook``: the id of a webhook, which the server makes up."""
    path = page.path.replace("/webhooks/{id}", f"/webhooks/{hook}").replace("{delivery}", "none")
    for placeholder, value in VALUES.items():
        path = path.replace(placeholder, value)
    return path.replace("/groups/alice", "/groups/guests")


READ = [page for page in PAGES if page.method == "GET" and page.path not in STREAMS]


async def fill(server, view):
    server.sessions.add(view())
    alice = {"name": "alice", "groups": ["staff"], "password": "correct horse"}
    assert (await server.client.post("/api/v1/users", json=alice)).status_code == 201
    body = {"cidr": "203.0.113.7/32", "reason": "A test"}
    assert (await server.client.post("/api/v1/blocks", json=body)).status_code in (200, 201)
    server.services.events.emit(
        "login_refused", address="198.51.100.7", user="alice", reason="password", verdict="reject"
    )
    made = await server.client.post("/api/v1/webhooks", json={"url": "https://hooks.example.org/"})
    assert made.status_code == 201
    hook: str = made.json()["id"]
    assert (await server.client.post(f"/api/v1/webhooks/{hook}:test")).status_code == 202
    return hook


async def refusals(visitor, pages, status, hook="none"):
    """Returns what the pages answer that do not answer with ``status``."""
    answers = {page.path: await visitor.get(path_of(page, hook)) for page in pages}
    return {path: answer.text for path, answer in answers.items() if answer.status_code != status}


async def test_pages_of_an_empty_server_say_so(signed_in):
    assert await refusals(signed_in, [page for page in READ if "{" not in page.path], 200) == {}


async def test_pages_show_what_there_is(server, signed_in, view):
    hook = await fill(server, view)
    assert await refusals(signed_in, READ, 200, hook) == {}
    for page in READ:
        text = (await signed_in.get(path_of(page, hook))).text
        assert "<h1" in text or page.path in {"/stats", "/rules/schema"}
        assert "style=" not in text
        assert " onclick" not in text


async def test_a_viewer_changes_nothing(visitor, invite):
    """A page of the console needs no less than the API."""
    await visitor.send("/sign-in", secret=invite(Role.VIEWER))
    for page in PAGES:
        if page.method == "POST":
            answer = await visitor.send(path_of(page))
            assert answer.status_code == 403, page.path
            assert "Not permitted" in answer.text
    assert [page.path for page in PAGES if page.method == "POST" and not any(":write" in s for s in page.scopes)] == []


async def test_every_page_names_its_scopes():
    assert [page.path for page in PAGES if not page.scopes] == []


async def test_hostile_text_is_text_everywhere(server, signed_in, view):
    server.sessions.add(view(user=HOSTILE, user_agent=HOSTILE, hostname=HOSTILE, groups=(HOSTILE,)))
    server.services.events.emit("login_refused", address="198.51.100.7", user=HOSTILE, reason=HOSTILE, verdict="reject")
    body = {"cidr": "203.0.113.7/32", "reason": HOSTILE}
    assert (await server.client.post("/api/v1/blocks", json=body)).status_code in (200, 201)
    shown = 0
    for path in (
        "/",
        "/sessions",
        "/sessions/s1",
        "/blocks",
        "/addresses/198.51.100.7",
        "/addresses/203.0.113.7",
        "/audit",
    ):
        answer = await signed_in.get(path)
        assert answer.status_code == 200
        assert "<img src=x" not in answer.text
        shown += "&lt;img src=x" in answer.text
    assert shown >= 5


async def test_the_walk_marks_the_deciding_tier(server, signed_in):
    body = {"cidr": "198.51.100.0/24", "reason": "A test"}
    await server.client.post("/api/v1/blocks", json=body)
    answer = await signed_in.get("/addresses/198.51.100.7")
    assert answer.text.count("▲ decided here") == 1
    assert "Lift the block of 198.51.100.0/24" in answer.text


async def test_a_problem_of_the_api_is_told(signed_in):
    answer = await signed_in.get("/sessions/none")
    assert answer.status_code == 404
    assert "Nothing was changed" in answer.text


async def test_charts_get_their_columns(signed_in):
    answer = await signed_in.get("/stats", resolution="hour")
    assert set(json.loads(answer.text)) >= {"at", "gauges", "counters"}


async def test_the_map_and_its_table_show_the_same_counts(server, signed_in):
    for _ in range(12):
        server.services.events.emit("decision", address="192.0.2.1", verdict="reject", country="SE", asn=64496)
    server.services.events.emit("decision", address="192.0.2.1", verdict="accept", country="MT")  # not on the map
    refused = (await signed_in.get("/places")).text
    assert refused.count('class="shade2"') == 2  # one country and the legend
    assert "<title>Sweden: 12 refused</title>" in refused
    assert "AS 64496" in refused
    accepted = (await signed_in.get("/places", count="accepted")).text
    assert "<title>Sweden: 0 accepted</title>" in accepted
    assert "MT</span>" in accepted


async def test_health_tells_of_certificates_and_pools(server, signed_in, view):
    facts, now = server.services.facts, SYSTEM_CLOCK.wall()
    facts.certificates = {"vpn": now + timedelta(days=3), "admin": now - timedelta(days=1)}
    facts.pools = (ip_network("192.168.99.0/29"),)
    server.sessions.add(view())
    page = (await signed_in.get("/health")).text
    assert "ends soon" in page
    assert "expired" in page
    assert re.search(r"192\.168\.99\.0/29</th>.*>1</td>.*>5</td>.*>20 %</td>", page)


async def test_the_overview_names_the_rule_and_the_block_that_refused(server, signed_in):
    for rule in ("no_lab", "block:198.51.100.0/24"):
        server.services.events.emit(
            "decision",
            address="198.51.100.7",
            event="connect",
            verdict="reject",
            reason="rule",
            rule=rule,
            latency_us=1.0,
        )
    page = (await signed_in.get("/")).text
    assert 'rule <a href="/console/rules/no_lab">no_lab</a>' in page
    assert '<a href="/console/blocks">block</a>' in page
