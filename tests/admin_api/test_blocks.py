# SPDX-License-Identifier: GPL-3.0-or-later
"""``/blocks``: create, list, get and delete."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest

from admin_api.enforcement.policy.safeguards import MAX_CUT
from admin_api.http.identity import Scope

pytestmark = pytest.mark.asyncio

URL = "/api/v1/blocks"
NETWORK = "198.51.100.0/24"
INSIDE = "198.51.100.7"


class TestCreateBlock:
    async def test_anonymous(self, server):
        answer = await server.anonymous.post(URL, json={"cidr": NETWORK})
        assert answer.status_code == 401
        assert server.engine.explain(INSIDE).verdict.accepted

    async def test_wrong_scope(self, server):
        client = await server.client_with(Scope.BLOCKS_READ, Scope.RULES_WRITE)
        answer = await client.post(URL, json={"cidr": NETWORK})
        assert answer.status_code == 403
        assert answer.json()["detail"] == "This needs the scope blocks:write"
        assert server.engine.explain(INSIDE).verdict.accepted

    async def test_is_in_force_and_cuts_sessions_before_the_answer(self, server, view):
        server.sessions.add(view("inside", address=INSIDE))
        server.sessions.add(view("outside", address="203.0.113.9"))
        answer = await server.client.post(URL, json={"cidr": NETWORK, "reason": "Brute force", "ttl": 3600})
        assert answer.status_code == 201
        block = answer.json()
        assert block["cidr"] == NETWORK
        assert block["reason"] == "Brute force"
        assert block["sessions_cut"] == 1
        assert block["overridden_by"] is None
        assert answer.headers["location"] == f"{URL}/{block['id']}"
        verdict = server.engine.explain(INSIDE).verdict
        assert not verdict.accepted
        assert verdict.rule_id == f"block:{block['id']}"
        assert set(server.sessions.views) == {"outside"}

    @pytest.mark.parametrize(
        ("written", "canonical"),
        [
            ("198.51.100.42", "198.51.100.42/32"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::ffff:198.51.100.42", "198.51.100.42/32"),
        ],
    )
    async def test_spellings(self, server, written, canonical):
        answer = await server.client.post(URL, json={"cidr": written})
        assert answer.status_code == 201
        assert answer.json()["cidr"] == canonical
        assert not server.engine.explain(ip_network(canonical)[0]).verdict.accepted

    @pytest.mark.parametrize(
        "body",
        [
            {"cidr": "198.51.100.7/24"},
            {"cidr": "198.51.100.0/33"},
            {"cidr": "example.org"},
            {"cidr": "fe80::1%eth0"},
            {"cidr": 3_325_256_704},
            {"cidr": NETWORK, "ttl": 0},
            {"cidr": NETWORK, "ttl": "NaN"},
            {"cidr": NETWORK, "ttl": "60"},
            {"cidr": NETWORK, "ttl": True},
            {"cidr": "198.51.100.0/255.255.255.0"},
            {"cidr": "198.51.100.0/0.0.0.255"},
            {"cidr": "198.51.100.0/024"},
            {"cidr": NETWORK, "reason": "txt.\u202egpj"},
            {"cidr": NETWORK, "reason": "two\nlines"},
            {"cidr": NETWORK, "reason": "x" * 201},
            {"cidr": NETWORK, "reasn": "typing error"},
            {},
            [],
        ],
    )
    async def test_invalid(self, server, body):
        answer = await server.client.post(URL, json=body)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["errors"]
        assert server.engine.blocks() == ()

    async def test_host_bits_name_the_network(self, server):
        answer = await server.client.post(URL, json={"cidr": "198.51.100.7/24"})
        (error,) = answer.json()["errors"]
        assert error["pointer"] == "/cidr"
        assert "198.51.100.0/24" in error["detail"]

    async def test_dry_run_changes_nothing(self, server, view):
        server.sessions.add(view(address=INSIDE))
        answer = await server.client.post(URL, params={"dry_run": True}, json={"cidr": NETWORK})
        assert answer.status_code == 200
        assert answer.json()["id"] is None
        assert answer.json()["sessions_cut"] == 1
        assert len(server.sessions.views) == 1
        assert server.engine.explain(INSIDE).verdict.accepted
        assert (await server.client.get(URL)).json()["items"] == []

    async def test_own_address_needs_force(self, server):
        answer = await server.client.post(URL, json={"cidr": "192.0.2.192/26"})
        assert answer.status_code == 409
        assert answer.json()["code"] == "self_lockout"
        assert server.engine.explain("192.0.2.200").verdict.accepted
        answer = await server.client.post(URL, params={"force": True}, json={"cidr": "192.0.2.192/26"})
        assert answer.status_code == 201

    @pytest.mark.parametrize("own", ["192.168.99.2", "10.0.0.9"])
    async def test_the_source_of_the_callers_tunnel_needs_force(self, server, view, own):
        """The caller's address is the inner one of a tunnel, or the source of the SSH session that it names."""
        server.sessions.add(view(address=INSIDE if own == "192.168.99.2" else "203.0.113.1"))
        params = {"protect": [own]}
        cidr = NETWORK if own == "192.168.99.2" else "10.0.0.0/24"
        answer = await server.client.post(URL, params=params, json={"cidr": cidr})
        assert answer.status_code == 409
        assert answer.json()["code"] == "self_lockout"
        assert len(server.sessions.views) == 1
        assert (await server.client.post(URL, params={**params, "force": True}, json={"cidr": cidr})).status_code == 201

    @pytest.mark.parametrize("cidr", ["0.0.0.0/1", "128.0.0.0/7", "8.0.0.0/7", "::/0", "2000::/3", "2600::/18"])
    async def test_a_wide_network_needs_force(self, server, cidr):
        answer = await server.client.post(URL, json={"cidr": cidr})
        assert answer.status_code == 409
        assert answer.json()["code"] == "needs_force"
        assert server.engine.blocks() == ()
        assert (await server.client.post(URL, params={"dry_run": True}, json={"cidr": cidr})).status_code == 200
        assert (await server.client.post(URL, params={"force": True}, json={"cidr": cidr})).status_code == 201

    @pytest.mark.parametrize("cidr", ["11.0.0.0/8", "2600::/19"])
    async def test_what_one_holder_can_have_needs_none(self, server, cidr):
        assert (await server.client.post(URL, json={"cidr": cidr})).status_code == 201

    @pytest.mark.parametrize(("sessions", "needed"), [(MAX_CUT, False), (MAX_CUT + 1, True)])
    async def test_many_sessions_need_force(self, server, view, sessions, needed):
        for number in range(sessions):
            server.sessions.add(view(id=f"s{number}", address=INSIDE))
        answer = await server.client.post(URL, json={"cidr": NETWORK})
        assert answer.status_code == (409 if needed else 201)
        assert len(server.sessions.views) == (sessions if needed else 0)
        if needed:
            assert answer.json()["code"] == "needs_force"
            assert (await server.client.post(URL, params={"force": True}, json={"cidr": NETWORK})).status_code == 201

    async def test_exempt_network(self, server):
        answer = await server.client.post(URL, json={"cidr": "127.0.0.1"})
        assert answer.status_code == 409
        assert answer.json()["code"] == "never_blocked"

    async def test_names_the_rule_that_overrides_it(self, server):
        answer = await server.client.post(URL, json={"cidr": "203.0.113.0/24"})
        assert answer.status_code == 201
        assert answer.json()["overridden_by"] == "corporate"

    async def test_blocking_again_keeps_the_later_end(self, server):
        first = (await server.client.post(URL, json={"cidr": NETWORK, "ttl": 60})).json()
        shorter = await server.client.post(URL, json={"cidr": NETWORK, "ttl": 30})
        assert shorter.status_code == 200
        assert shorter.json()["expires_at"] == first["expires_at"]
        longer = await server.client.post(URL, json={"cidr": NETWORK, "ttl": 600})
        assert longer.json()["id"] == first["id"]
        assert longer.json()["expires_at"] > first["expires_at"]
        endless = await server.client.post(URL, json={"cidr": NETWORK})
        assert endless.json()["expires_at"] is None
        assert (await server.client.post(URL, json={"cidr": NETWORK, "ttl": 60})).json()["expires_at"] is None
        assert len((await server.client.get(URL)).json()["items"]) == 1


class TestListBlocks:
    async def test_anonymous(self, server):
        assert (await server.anonymous.get(URL)).status_code == 401

    async def test_wrong_scope(self, server):
        assert (await (await server.client_with(Scope.USERS_READ)).get(URL)).status_code == 403

    async def test_write_implies_read(self, server):
        assert (await (await server.client_with(Scope.BLOCKS_WRITE)).get(URL)).status_code == 200

    async def test_pages(self, server):
        cidrs = [f"198.51.100.{n}/32" for n in range(5)]
        for cidr in cidrs:
            await server.client.post(URL, json={"cidr": cidr})
        seen, cursor, pages = [], None, 0
        while True:
            params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            answer = await server.client.get(URL, params=params)
            page = answer.json()
            seen += [item["cidr"] for item in page["items"]]
            pages += 1
            cursor = page["next_cursor"]
            if cursor is None:
                assert "link" not in answer.headers
                break
            assert re.fullmatch(r'</api/v1/blocks\?[^>]+>; rel="next"', answer.headers["link"])
        assert seen == cidrs
        assert pages == 3

    @pytest.mark.parametrize("cursor", ["!", "AAA=A", "w" * 600, "_w"])
    async def test_bad_cursor(self, server, cursor):
        answer = await server.client.get(URL, params={"cursor": cursor})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/cursor"

    async def test_filters(self, server):
        for cidr in (NETWORK, "198.51.100.7/32", "198.51.0.0/16", "2001:db8::/32"):
            await server.client.post(URL, json={"cidr": cidr})

        async def found(**params):
            return {item["cidr"] for item in (await server.client.get(URL, params=params)).json()["items"]}

        assert await found(covers=INSIDE) == {NETWORK, "198.51.100.7/32", "198.51.0.0/16"}
        assert await found(cidr=NETWORK) == {NETWORK}
        assert await found(covers="2001:db8::1") == {"2001:db8::/32"}
        assert await found(covers=INSIDE, cidr="2001:db8::/32") == set()


class TestGetBlock:
    async def test_anonymous(self, server):
        assert (await server.anonymous.get(f"{URL}/x")).status_code == 401

    async def test_wrong_scope(self, server):
        assert (await (await server.client_with(Scope.USERS_READ)).get(f"{URL}/x")).status_code == 403

    async def test_found(self, server):
        made = (await server.client.post(URL, json={"cidr": NETWORK, "reason": "why"})).json()
        block = (await server.client.get(f"{URL}/{made['id']}")).json()
        assert block["reason"] == "why"
        assert block["created_by"].startswith("all#")

    async def test_unknown(self, server):
        answer = await server.client.get(f"{URL}/nothing")
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"


class TestDeleteBlock:
    async def test_anonymous(self, server):
        assert (await server.anonymous.delete(f"{URL}/x")).status_code == 401

    async def test_wrong_scope(self, server):
        assert (await (await server.client_with(Scope.BLOCKS_READ)).delete(f"{URL}/x")).status_code == 403

    async def test_is_accepted_again_before_the_answer(self, server):
        made = (await server.client.post(URL, json={"cidr": NETWORK})).json()
        answer = await server.client.delete(f"{URL}/{made['id']}")
        assert answer.status_code == 204
        assert server.engine.explain(INSIDE).verdict.accepted
        assert (await server.client.delete(f"{URL}/{made['id']}")).status_code == 404
