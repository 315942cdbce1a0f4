# SPDX-License-Identifier: GPL-3.0-or-later
"""``/penalties``: list and clear the penalty box."""

from __future__ import annotations

import asyncio
import math

import pytest

from admin_api.http.identity import Scope
from sentry_engine import Policy, Reason

pytestmark = pytest.mark.asyncio

URL = "/api/v1/penalties"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_access(server, method):
    assert (await server.anonymous.request(method, URL)).status_code == 401
    wrong = await server.client_with(Scope.PENALTIES_READ if method != "GET" else Scope.USERS_WRITE)
    assert (await wrong.request(method, URL)).status_code == 403


async def test_list_and_forgive(server):
    server.engine.penalize("198.51.100.7", 600, reason=Reason.PENALTY, rule_id="limit")
    server.engine.penalize("2001:db8:1::/64", math.inf, reason=Reason.BLACKLISTED)
    first = (await server.client.get(URL, params={"limit": 1})).json()
    second = (await server.client.get(URL, params={"limit": 1, "cursor": first["next_cursor"]})).json()
    four, six = first["items"] + second["items"]
    assert second["next_cursor"] is None
    assert four["network"] == "198.51.100.7/32"
    assert four["rule_id"] == "limit"
    assert 590 < four["retry_after"] <= 600
    assert six["network"] == "2001:db8:1::/64"
    assert six["until"] is None
    answer = await server.client.delete(URL, params={"network": "198.51.100.0/24"})
    assert answer.json() == {"forgiven": 1}
    assert server.engine.explain("198.51.100.7").verdict.accepted
    assert (await server.client.delete(URL)).json() == {"forgiven": 1}
    assert (await server.client.get(URL)).json()["items"] == []


@pytest.mark.parametrize("network", ["nonsense", "198.51.100.7/24", "'); DROP TABLE users"])
async def test_invalid_network(server, network):
    assert (await server.client.delete(URL, params={"network": network})).status_code == 422


SOURCES = f"{URL}/sources"
LIMITS = {
    "wolfsentry": {
        "version": "1.6.3",
        "rules": [
            {"id": "logins", "type": "auth_limit", "remote_addr": ["0.0.0.0/0"], "max_failures": 3, "window_sec": 600},
            {"id": "rate", "type": "rate_limit", "remote_addr": ["0.0.0.0/0"], "max_connections": 9, "window_sec": 600},
        ],
    }
}


async def test_access_to_sources(server):
    assert (await server.anonymous.get(SOURCES)).status_code == 401
    assert (await (await server.client_with(Scope.USERS_WRITE)).get(SOURCES)).status_code == 403


async def test_sources_with_what_limits_count_of_them(server):
    server.engine.swap(Policy.from_document(LIMITS))
    for address, failures in (("198.51.100.7", 2), ("198.51.100.8", 0), ("203.0.113.9", 1)):
        assert server.engine.decide("connect", address).accepted
        for _ in range(failures):
            server.engine.decide("auth_failure", address, user="alice")
    page = (await server.client.get(SOURCES, params={"sort": "-events", "limit": 2})).json()
    rest = (await server.client.get(SOURCES, params={"sort": "-events", "cursor": page["next_cursor"]})).json()
    found = {
        row["network"]: {one["event"]: one["count"] for one in row["events"]} for row in page["items"] + rest["items"]
    }
    assert found == {
        "198.51.100.7/32": {"auth_failure": 2, "connect": 1},
        "203.0.113.9/32": {"auth_failure": 1, "connect": 1},
        "198.51.100.8/32": {"connect": 1},
    }
    assert next(iter(found)) == "198.51.100.7/32"
    inside = (await server.client.get(SOURCES, params={"network": "203.0.113.0/24"})).json()["items"]
    assert [row["network"] for row in inside] == ["203.0.113.9/32"]
    assert (await server.client.get(SOURCES, params={"network": "x"})).status_code == 422


async def test_many_requests_walk_the_sources_once(server, monkeypatch):
    walks = []
    sources = server.engine.sources
    monkeypatch.setattr(server.engine, "sources", lambda: walks.append(1) or sources())
    answers = await asyncio.gather(*(server.client.get(SOURCES) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(walks) == 1
