# SPDX-License-Identifier: GPL-3.0-or-later
"""``/decisions``: the latest verdicts, newest first."""

from __future__ import annotations

import math
from ipaddress import ip_address

import pytest

from admin_api.http.identity import Scope
from admin_api.metrics.place_counts import MAX_NETWORKS, PlaceCounts
from vpn_frontend.ports import VpnEvent

pytestmark = pytest.mark.asyncio


class TestDecisions:
    URL = "/api/v1/decisions"

    async def test_access(self, server):
        assert (await server.anonymous.get(self.URL)).status_code == 401
        assert (await (await server.client_with(Scope.USERS_WRITE)).get(self.URL)).status_code == 403

    async def test_newest_first(self, server):
        hub = server.services.events
        hub.emit(VpnEvent.LOGIN_REFUSED, user="alice", address="198.51.100.7", reason="password", final=False)
        hub.emit(VpnEvent.SESSION_ROAMED, session="s")
        hub.emit(VpnEvent.LOGIN_ACCEPTED, user="alice", address="198.51.100.7", user_agent="x")
        items = (await server.client.get(self.URL)).json()["items"]
        assert [item["kind"] for item in items] == ["login_accepted", "login_refused"]
        assert len((await server.client.get(self.URL, params={"limit": 1})).json()["items"]) == 1

    async def test_of_one_source_user_or_kind(self, server):
        for address, user, verdict in (("192.0.2.1", "alice", "accept"), ("192.0.2.2", "bob", "reject")):
            fields = {"address": ip_address(address), "user": user, "verdict": verdict, "retry_after": math.inf}
            server.services.events.emit("decision", **fields)

        async def users(**params):
            items = (await server.client.get(self.URL, params=params)).json()["items"]
            return [item["fields"]["user"] for item in items]

        assert await users() == ["bob", "alice"]
        assert await users(address="192.0.2.1") == ["alice"]
        assert await users(user="bob") == ["bob"]
        assert await users(verdict="accept") == ["alice"]
        assert await users(verdict="accept", user="bob") == []
        assert (await server.client.get(self.URL, params={"verdict": "perhaps"})).status_code == 422


class TestPlaces:
    URL = "/api/v1/decisions/places"

    async def test_access(self, server):
        assert (await server.anonymous.get(self.URL)).status_code == 401
        assert (await (await server.client_with(Scope.USERS_WRITE)).get(self.URL)).status_code == 403

    async def test_verdicts_are_counted_by_place_most_refused_first(self, server):
        for verdict, country, asn in (
            ("accept", "DE", 64496),
            ("reject", "SE", 64497),
            ("rate_limited", "SE", 64498),
            ("reject", None, None),
        ):
            server.services.events.emit("decision", address="192.0.2.1", verdict=verdict, country=country, asn=asn)
        server.services.events.emit("decision", address="192.0.2.1", country="FR")  # no verdict
        answer = (await server.client.get(self.URL, params={"networks": 2})).json()
        assert answer["countries"] == [
            {"country": "SE", "accepted": 0, "refused": 2},
            {"country": "DE", "accepted": 1, "refused": 0},
        ]
        assert [row["asn"] for row in answer["networks"]] == [64497, 64498]
        assert answer["since"]

    async def test_counts_are_bounded(self):
        counts = PlaceCounts()
        for number in range(MAX_NETWORKS + 10):
            counts.count({"verdict": "reject", "asn": number})
        counts.count({"verdict": "reject", "asn": 0})
        assert len(counts.networks) == MAX_NETWORKS
        assert counts.networks[0].refused == 2
