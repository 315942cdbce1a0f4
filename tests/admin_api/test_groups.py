# SPDX-License-Identifier: GPL-3.0-or-later
"""``/groups``: create, list, read, replace, change and delete."""

from __future__ import annotations

import asyncio

import pytest

from admin_api.http.identity import Scope

pytestmark = pytest.mark.asyncio

URL = "/api/v1/groups"
ANY = {"If-Match": "*"}
STAFF = {
    "name": "staff",
    "label": "The staff",
    "settings": {"network": {"restrict_to_ports": ["tcp/443"]}, "bandwidth": {"from_client": 1_250_000}},
}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", URL), ("POST", URL), ("GET", f"{URL}/x"), ("PUT", f"{URL}/x"), ("PATCH", f"{URL}/x"),
     ("DELETE", f"{URL}/x")],
)  # fmt: skip
async def test_access(server, method, path):
    assert (await server.anonymous.request(method, path, json=STAFF)).status_code == 401
    wrong = await server.client_with(Scope.USERS_READ if method != "GET" else Scope.SESSIONS_WRITE)
    assert (await wrong.request(method, path, json=STAFF)).status_code == 403


class TestCreateGroup:
    async def test_is_applied_to_live_sessions(self, server):
        answer = await server.client.post(URL, json=STAFF)
        assert answer.status_code == 201
        assert answer.headers["location"] == f"{URL}/staff"
        found = answer.json()
        assert found["in_force"] == ["bandwidth.from_client", "network.restrict_to_ports"]
        assert found["at_next_login"] == []
        assert found["effective"]["network.restrict_to_ports"] == {"value": ["tcp/443"], "origin": "group staff"}
        (rule,) = server.sessions.groups["staff"]["network"]["restrict_to_ports"]
        assert str(rule) == "tcp/443"
        assert await server.store.group_overrides() == server.sessions.groups

    async def test_keys_may_be_written_without_their_table(self, server):
        answer = await server.client.post(URL, json={"name": "ops", "settings": {"mtu": 1300, "day": 5}})
        assert answer.json()["settings"] == {"network": {"mtu": 1300}, "quota": {"day": 5}}

    async def test_the_same_name_twice(self, server):
        await server.client.post(URL, json=STAFF)
        answer = await server.client.post(URL, json=STAFF)
        assert (answer.status_code, answer.json()["code"]) == (409, "already_exists")

    async def test_dry_run(self, server, view):
        server.sessions.add(view())
        ended = {**STAFF, "settings": {"expires_at": "2020-01-01T00:00:00Z"}}
        answer = await server.client.post(f"{URL}?dry_run=true", json=ended)
        assert (answer.status_code, answer.json()["sessions_cut"]) == (200, 1)
        assert server.sessions.list()
        assert (await server.client.get(f"{URL}/staff")).status_code == 404
        assert (await server.client.post(URL, json=ended)).json()["sessions_cut"] == 1
        assert not server.sessions.list()

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"name": "a/b"}, "/name"),
            ({"name": ""}, "/name"),
            ({"name": " a"}, None),
            ({"label": "a\nb"}, "/label"),
            ({"settings": {"network": {"mtu": 3}}}, "/settings/network/mtu"),
            ({"settings": {"network": {"device": "x"}}}, "/settings/network/device"),
            ({"settings": {"network": {"restrict_to_ports": ["tcp/443", "!udp/1"]}}},
             "/settings/network/restrict_to_ports"),
            ({"settings": {"network": {"routes": ["10.0.0.1/8"]}}}, "/settings/network/routes/0"),
            ({"settings": {"network": {"split_dns": ["a\r\nX-CSTP-DNS: 1"]}}}, "/settings/network/split_dns/0"),
            ({"settings": {"network": {"ipv4_pool": "10.9.0.0/24"}}}, "/settings/network/ipv4_pool"),
            ({"settings": {"limits": {"max_clients": 1}}}, "/settings/limits/max_clients"),
            ({"settings": {"quota": {"day": True}}}, "/settings/quota/day"),
            ({"settings": {"schedule": [{"days": ["someday"]}]}}, "/settings/schedule/0/days/0"),
            ({"settings": {"expires_at": "tomorrow"}}, "/settings/expires_at"),
            ({"settings": {"banner": "\u0007"}}, "/settings/banner"),
            ({"settings": {"profile": "<a>"}}, "/settings/profile"),
            ({"settings": {"profile": "<!DOCTYPE a []><a/>"}}, "/settings/profile"),
            ({"settings": []}, "/settings"),
            ({"routes": []}, "/routes"),
        ],
    )  # fmt: skip
    async def test_invalid(self, server, change, pointer):
        answer = await server.client.post(URL, json={**STAFF, **change})
        if pointer is None:  # blanks around a name are stripped
            assert answer.status_code == 201
            return
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == pointer

    async def test_a_pool_of_the_configuration(self, server):
        body = {"name": "visitors", "settings": {"network": {"ipv4_pool": "10.8.0.0/24"}}}
        assert (await server.client.post(URL, json=body)).status_code == 201


class TestReadGroups:
    async def test_groups_of_the_api_and_of_the_configuration(self, server):
        await server.client.post(URL, json=STAFF)
        await server.client.post("/api/v1/users", json={"name": "al", "password": "x", "groups": ["staff", "guests"]})
        first = (await server.client.get(URL, params={"limit": 1})).json()
        second = (await server.client.get(URL, params={"limit": 1, "cursor": first["next_cursor"]})).json()
        shown = [(group["name"], group["source"], group["members"]) for group in first["items"] + second["items"]]
        assert shown == [("guests", "file", 1), ("staff", "api", 1)]
        assert second["next_cursor"] is None

    async def test_a_group_of_the_configuration_is_read_only(self, server):
        answer = await server.client.get(f"{URL}/guests")
        of_file = {"network": {"ipv4_pool": "10.8.0.0/24", "mtu": 1250}, "auth": {"require": ["totp"]}}
        assert answer.json()["settings"] == of_file
        assert answer.json()["effective"]["network.mtu"] == {"value": 1250, "origin": "group guests (file)"}
        for method in ("PUT", "PATCH", "DELETE"):
            refused = await server.client.request(method, f"{URL}/guests", headers=ANY, json={})
            assert (refused.status_code, refused.json()["code"]) == (409, "from_file")

    async def test_a_group_of_the_api_overrides_one_of_the_configuration_key_by_key(self, server):
        body = {"name": "guests", "settings": {"network": {"dns": ["10.8.0.1"]}}}
        found = (await server.client.post(URL, json=body)).json()["effective"]
        assert found["network.dns"] == {"value": ["10.8.0.1"], "origin": "group guests"}
        assert found["network.mtu"] == {"value": 1250, "origin": "group guests (file)"}

    async def test_unknown(self, server):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            assert (await server.client.request(method, f"{URL}/x", headers=ANY, json={})).status_code == 404


class TestRulesOfLogins:
    async def test_are_shown_with_their_origins_and_hold_from_the_next_login_on(self, server):
        made = (
            await server.client.post(URL, json={"name": "staff", "settings": {"auth": {"require": ["totp"]}}})
        ).json()
        assert (made["in_force"], made["at_next_login"]) == ([], ["auth.require"])
        assert made["effective"]["auth.methods"] == {"value": ["password"], "origin": "global"}
        assert made["effective"]["auth.require"] == {"value": ["totp"], "origin": "group staff"}
        assert server.sessions.groups["staff"]["auth"] == {"require": ("totp",)}
        none = {"settings": {"auth": {"require": None}}}
        changed = (await server.client.patch(f"{URL}/staff", headers=ANY, json=none)).json()
        assert changed["effective"]["auth.require"] == {"value": [], "origin": "global"}

    async def test_are_over_those_of_the_configuration(self, server):
        shown = (await server.client.get(f"{URL}/guests")).json()["effective"]["auth.require"]
        assert shown == {"value": ["totp"], "origin": "group guests (file)"}
        body = {"name": "guests", "settings": {"auth": {"require": []}}}
        made = (await server.client.post(URL, json=body)).json()
        assert made["effective"]["auth.require"] == {"value": [], "origin": "group guests"}

    @pytest.mark.parametrize(
        ("auth", "pointer", "words"),
        [
            ({"methods": ["ldap"]}, "/settings/auth/methods", "does not use ldap"),
            ({"methods": ["totp"]}, "/settings/auth/methods", "names no user"),
            ({"methods": []}, "/settings/auth/methods", "no method to log in with"),
            ({"require": ["password"]}, "/settings/auth/require", "already"),
            ({"require": ["guess"]}, "/settings/auth/require/0", "'password'"),
            ({"attempts": 9}, "/settings/auth/attempts", ""),
        ],
    )
    async def test_that_cannot_be_held_are_refused_in_words(self, server, auth, pointer, words):
        answer = await server.client.post(URL, json={"name": "staff", "settings": {"auth": auth}})
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert (error["pointer"], words in error["detail"]) == (pointer, True), error
        assert (await server.client.get(f"{URL}/staff")).status_code == 404


class TestChangeGroup:
    async def test_replace_and_patch(self, server):
        etag = (await server.client.post(URL, json=STAFF)).headers["etag"]
        patch = {"note": "x", "settings": {"bandwidth": None, "network": {"mtu": 1300}}}
        patched = await server.client.patch(f"{URL}/staff", headers={"If-Match": etag}, json=patch)
        assert patched.json()["settings"] == {"network": {"restrict_to_ports": ["tcp/443"], "mtu": 1300}}
        assert patched.json()["in_force"] == ["bandwidth.from_client"]
        assert patched.json()["at_next_login"] == ["network.mtu"]
        stale = await server.client.put(f"{URL}/staff", headers={"If-Match": etag}, json={})
        assert (stale.status_code, stale.json()["code"]) == (412, "stale")
        replaced = await server.client.put(f"{URL}/staff", headers={"If-Match": patched.headers["etag"]}, json={})
        assert (replaced.json()["settings"], replaced.json()["label"]) == ({}, "")

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
    async def test_needs_if_match(self, server, method):
        await server.client.post(URL, json=STAFF)
        answer = await server.client.request(method, f"{URL}/staff", json={})
        assert (answer.status_code, answer.json()["code"]) == (428, "precondition_required")

    async def test_of_many_changes_at_once_one_wins(self, server):
        etag = (await server.client.post(URL, json=STAFF)).headers["etag"]
        patches = (
            server.client.patch(f"{URL}/staff", headers={"If-Match": etag}, json={"note": str(n)}) for n in range(8)
        )
        codes = sorted(answer.status_code for answer in await asyncio.gather(*patches))
        assert codes == [200] + [412] * 7

    async def test_delete(self, server):
        await server.client.post(URL, json=STAFF)
        tried = await server.client.delete(f"{URL}/staff?dry_run=true", headers=ANY)
        assert (tried.status_code, tried.json()) == (200, {"sessions_cut": 0})
        assert (await server.client.delete(f"{URL}/staff", headers=ANY)).status_code == 204
        assert server.sessions.groups == {}
        actions = [row["action"] for row in (await server.client.get("/api/v1/audit")).json()["items"]]
        assert actions[:2] == ["group_removed", "group_created"]
