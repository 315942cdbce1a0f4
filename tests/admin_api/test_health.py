# SPDX-License-Identifier: GPL-3.0-or-later
"""Health, readiness, status and metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from admin_api.app import create_app
from admin_api.console.sign_in import COOKIE
from admin_api.http.identity import ALL_SCOPES, Scope
from admin_api.tokens.service import create_token
from vpn_frontend.ports import SessionState

pytestmark = pytest.mark.asyncio


class TestHealth:
    async def test_lives(self, server):
        answer = await server.anonymous.get("/healthz")
        assert answer.status_code == 200
        assert answer.json() == {"status": "ok"}

    async def test_ready(self, server):
        answer = await server.anonymous.get("/readyz")
        assert answer.status_code == 200
        assert answer.json() == {"status": "ready", "problems": []}

    async def test_not_ready_without_store(self, server):
        async def fail():
            raise OSError("secret path")

        server.store.check = fail
        answer = await server.anonymous.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["problems"] == ["store"]
        assert (await server.client.get("/readyz")).json()["problems"] == ["store: secret path"]

    async def test_strangers_read_no_line_of_a_rule_file(self, server):
        server.write_rules('{"secret', "broken.json")
        await server.enforcement.reload()
        assert (await server.anonymous.get("/readyz")).json()["problems"] == ["policy"]
        narrow = await server.client_with(Scope.BLOCKS_READ)
        assert (await narrow.get("/readyz")).json()["problems"] == ["policy"]
        (problem,) = (await (await server.client_with(Scope.STATUS_READ)).get("/readyz")).json()["problems"]
        assert "broken.json" in problem

    async def test_checks_of_others(self, services):
        async def expired():
            return "the certificate has expired"

        async def fine():
            return None

        app = create_app(replace(services, checks={"certificate": expired, "tun": fine}))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as client:
            answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["problems"] == ["certificate"]


class TestStatus:
    async def test_access(self, server):
        assert (await server.anonymous.get("/api/v1/status")).status_code == 401
        assert (await (await server.client_with(Scope.USERS_WRITE)).get("/api/v1/status")).status_code == 403

    async def test_counts(self, server, view):
        server.sessions.add(view())
        server.engine.admit("alice", "198.51.100.7")
        await server.client.post("/api/v1/blocks", json={"cidr": "192.0.2.1"})
        status = (await server.client.get("/api/v1/status")).json()
        assert (status["sessions"], status["leases"], status["blocks"]) == (1, 1, 1)
        assert status["ready"]
        assert status["version"] == "1.2.3"
        assert status["uptime"] >= 0
        assert status["policy"]["rules"] == 2

    async def test_each_check_by_name(self, services):
        async def gone():
            return "it is gone"

        async def fine():
            return None

        app = create_app(replace(services, checks={"TUN device": gone, "certificate": fine}))
        _, token = await create_token(services.store, "all", ALL_SCOPES, by="the tests")
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as client:
            status = (await client.get("/api/v1/status", headers=headers)).json()
            page = (await client.get("/console/health", headers={"Cookie": f"{COOKIE}={token}"})).text
        found = {check["name"]: check["problems"] for check in status["checks"]}
        assert found == {"policy": [], "store": [], "TUN device": ["it is gone"], "certificate": []}
        assert (status["ready"], status["problems"]) == (False, ["TUN device: it is gone"])
        assert page.index("it is gone") < page.index(">certificate<"), "what fails comes first"

    async def test_certificates_and_pools(self, server, view):
        facts = server.services.facts
        facts.certificates = {"vpn": datetime(2031, 1, 1, tzinfo=UTC), "admin": datetime(2030, 1, 1, tzinfo=UTC)}
        facts.self_signed = True
        facts.pools = (ip_network("192.168.99.0/29"), ip_network("fd00:99::/64"))
        server.sessions.add(view())
        server.sessions.add(view("s2", ipv4=ip_address("10.0.0.1"), ipv6=ip_address("fd00:99::7")))
        status = (await server.client.get("/api/v1/status")).json()
        assert status["certificates"] == [
            {"use": "admin", "expires_at": "2030-01-01T00:00:00Z", "self_signed": False},
            {"use": "vpn", "expires_at": "2031-01-01T00:00:00Z", "self_signed": True},
        ]
        assert status["pools"] == [
            {"network": "192.168.99.0/29", "addresses": 5, "used": 1},
            {"network": "fd00:99::/64", "addresses": 2**53, "used": 1},
        ]


class TestMetrics:
    async def test_other_hosts_need_a_token(self, server):
        assert (await server.anonymous.get("/metrics")).status_code == 401
        assert (await (await server.client_with(Scope.USERS_WRITE)).get("/metrics")).status_code == 403
        assert (await (await server.client_with(Scope.METRICS_READ)).get("/metrics")).status_code == 200

    async def test_from_this_host_it_needs_none(self, services):
        transport = httpx.ASGITransport(create_app(services), client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            assert (await client.get("/metrics")).status_code == 200

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
    async def test_a_proxy_on_this_host_is_no_reason(self, services, header):
        transport = httpx.ASGITransport(create_app(services), client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            assert (await client.get("/metrics", headers={header: "x"})).status_code == 401

    async def test_metrics_have_values(self, server, services, view):
        server.sessions.add(view())
        server.sessions.add(view("s2", state=SessionState.ROAMING))
        server.engine.decide("connect", "192.0.2.65")
        answer = await server.client.get("/metrics")
        samples = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
        assert samples["ocsentry_sessions", "connected"] == 1
        assert samples["ocsentry_sessions", "roaming"] == 1
        assert samples["ocsentry_refusals_total",] == 1
        assert samples["ocsentry_policy_rules",] == 2
        assert samples["ocsentry_policy_reload_failed",] == 0
        await server.client.get("/metrics")
        assert services.request_metrics.answers["GET", 200] == 2

    async def test_clients_cannot_multiply_labels(self, server):
        for n in range(5):
            await server.anonymous.request(f"METHOD{n}", f"/path{n}")
        text = (await server.client.get("/metrics")).text
        assert 'method="other"' in text
        assert "METHOD" not in text
        assert "path" not in text
