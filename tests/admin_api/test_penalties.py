# SPDX-License-Identifier: GPL-3.0-or-later
"""``/penalties``: list and clear the penalty box."""

from __future__ import annotations

import math

import pytest

from admin_api.http.identity import Scope
from sentry_engine import Reason

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
