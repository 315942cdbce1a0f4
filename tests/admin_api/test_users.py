# SPDX-License-Identifier: GPL-3.0-or-later
"""``/users``: create, import, read, replace and delete."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from admin_api.enforcement.engine_state import EngineStateSaver
from admin_api.http.identity import Scope
from vpn_frontend.auth.password.hashes import matches

pytestmark = pytest.mark.asyncio

URL = "/api/v1/users"
ALICE = {"name": "alice", "password": "correct horse", "groups": ["staff"], "max_same_clients": 1}
ANY = {"If-Match": "*"}
CRYPT = "$5$rounds=1000$saltsalt$" + "x" * 43


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", URL),
        ("POST", URL),
        ("POST", f"{URL}/import"),
        ("GET", f"{URL}/alice"),
        ("PUT", f"{URL}/alice"),
        ("PATCH", f"{URL}/alice"),
        ("DELETE", f"{URL}/alice"),
    ],
)
async def test_access(server, method, path):
    assert (await server.anonymous.request(method, path, json=ALICE)).status_code == 401
    wrong = await server.client_with(Scope.USERS_READ if method != "GET" else Scope.SESSIONS_WRITE)
    assert (await wrong.request(method, path, json=ALICE)).status_code == 403


@pytest.mark.parametrize("name", ["DOMAIN\\bob", "a/b", "two words", ".dot", "100%", "a%2Fb", "ünï", "?#&"])
async def test_any_name_can_be_reached_by_its_url(server, name):
    made = await server.client.post(URL, json={"name": name, "password": "correct horse"})
    assert made.status_code == 201
    place = f"{URL}/{quote(name, safe='')}"
    assert made.headers["location"] == place
    assert (await server.client.get(place)).json()["name"] == name
    assert (await server.client.patch(place, json={"note": "x"}, headers=ANY)).json()["note"] == "x"
    assert (await server.client.get(f"{place}/totp")).status_code in {200, 404}
    assert (await server.client.delete(place, headers=ANY)).status_code == 204


class TestCreateUser:
    async def test_can_log_in(self, server):
        answer = await server.client.post(URL, json=ALICE)
        assert answer.status_code == 201
        assert answer.headers["location"] == f"{URL}/alice"
        assert "password" not in answer.text
        record = await server.store.find("Alice")
        assert matches(record.password_hash, "correct horse")
        assert not matches(record.password_hash, "Correct horse")
        assert record.max_same_clients == 1
        assert record.groups == ("staff",)

    async def test_with_imported_hash(self, server):
        answer = await server.client.post(URL, json={"name": "bob", "password_hash": CRYPT})
        assert answer.status_code == 201
        assert (await server.store.find("bob")).password_hash == CRYPT

    @pytest.mark.parametrize(
        "change",
        [
            {"name": ""},
            {"name": "-rf"},
            {"name": ".."},
            {"name": "a:b"},
            {"name": "a\u0000b"},
            {"name": "x" * 65},
            {"password": ""},
            {"password": "x" * 257},
            {"password": None},
            {"password_hash": CRYPT},
            {"password": None, "password_hash": "$1$old$md5"},
            {"password": None, "password_hash": "$2b$31$" + "x" * 53},  # costs a login hours
            {"max_same_clients": -1},
            {"ipv4": "fd00::1"},
            {"expires_at": "2030-01-01T00:00:00"},
            {"groups": [""]},
            {"groups": ["a\nb"]},
            {"admin": True},
        ],
    )
    async def test_invalid(self, server, change):
        answer = await server.client.post(URL, json={**ALICE, **change})
        assert answer.status_code == 422
        assert "correct horse" not in answer.text

    async def test_same_name_in_another_case(self, server):
        await server.client.post(URL, json=ALICE)
        answer = await server.client.post(URL, json={**ALICE, "name": "ALICE"})
        assert answer.status_code == 409
        assert answer.json()["code"] == "already_exists"

    async def test_inner_address_of_another(self, server):
        await server.client.post(URL, json={**ALICE, "ipv4": "192.168.99.50"})
        answer = await server.client.post(URL, json={**ALICE, "name": "bob", "ipv4": "192.168.99.50"})
        assert answer.status_code == 409
        assert answer.json()["code"] == "address_taken"


class TestImport:
    async def test_all_or_none(self, server):
        users = [{"name": f"user{n}", "password_hash": CRYPT} for n in range(3)]
        answer = await server.client.post(f"{URL}/import", json={"users": users})
        assert answer.json() == {"created": 3}
        again = [{"name": "new", "password_hash": CRYPT}, {"name": "user1", "password_hash": CRYPT}]
        answer = await server.client.post(f"{URL}/import", json={"users": again})
        assert answer.status_code == 409
        assert await server.store.find("new") is None


class TestReadUsers:
    async def test_pages_and_groups(self, server):
        for n in range(3):
            await server.client.post(URL, json={"name": f"user{n}", "password_hash": CRYPT, "groups": [f"g{n % 2}"]})
        first = (await server.client.get(URL, params={"limit": 2})).json()
        second = (await server.client.get(URL, params={"limit": 2, "cursor": first["next_cursor"]})).json()
        assert [user["name"] for user in first["items"] + second["items"]] == ["user0", "user1", "user2"]
        assert second["next_cursor"] is None
        group = (await server.client.get(URL, params={"group": "g0"})).json()
        assert [user["name"] for user in group["items"]] == ["user0", "user2"]
        assert "$5$" not in str(first)

    async def test_one(self, server):
        await server.client.post(URL, json=ALICE)
        assert (await server.client.get(f"{URL}/ALICE")).json()["name"] == "alice"
        assert (await server.client.get(f"{URL}/bob")).status_code == 404


class TestReplaceUser:
    async def test_keeps_the_password_unless_given(self, server):
        await server.client.post(URL, json=ALICE)
        answer = await server.client.put(f"{URL}/alice", headers=ANY, json={"groups": ["admins"]})
        assert answer.status_code == 200
        record = await server.store.find("alice")
        assert record.groups == ("admins",)
        assert record.max_same_clients is None
        assert matches(record.password_hash, "correct horse")
        await server.client.put(f"{URL}/alice", headers=ANY, json={"password": "battery staple"})
        assert matches((await server.store.find("alice")).password_hash, "battery staple")

    @pytest.mark.parametrize(
        "change", [{"enabled": False}, {"expires_at": "2020-01-01T00:00:00Z"}, {"password": "new one"}]
    )
    async def test_disabled_or_expired_user_is_disconnected(self, server, view, change):
        await server.client.post(URL, json=ALICE)
        server.sessions.add(view("a"))
        server.sessions.add(view("b", user="bob"))
        answer = await server.client.put(f"{URL}/alice", headers=ANY, json=change)
        assert answer.json()["sessions_cut"] == 1
        assert set(server.sessions.views) == {"b"}

    async def test_other_users_stay_connected(self, server, view):
        await server.client.post(URL, json=ALICE)
        server.sessions.add(view())
        assert (await server.client.put(f"{URL}/alice", headers=ANY, json={"note": "x"})).json()["sessions_cut"] == 0
        assert server.sessions.views

    async def test_own_address_is_not_taken(self, server):
        await server.client.post(URL, json={**ALICE, "ipv4": "192.168.99.50"})
        assert (await server.client.put(f"{URL}/alice", headers=ANY, json={"ipv4": "192.168.99.50"})).status_code == 200

    async def test_unknown(self, server):
        assert (await server.client.put(f"{URL}/bob", headers=ANY, json={})).status_code == 404


class TestConditions:
    async def test_two_administrators_lose_nothing(self, server):
        created = await server.client.post(URL, json=ALICE)
        read = await server.client.get(f"{URL}/alice")
        assert read.headers["etag"] == created.headers["etag"]
        mine = {"If-Match": read.headers["etag"]}
        disabled = await server.client.patch(f"{URL}/alice", headers=mine, json={"enabled": False})
        assert disabled.status_code == 200
        stale = await server.client.patch(f"{URL}/alice", headers=mine, json={"note": "hello"})
        assert (stale.status_code, stale.json()["code"]) == (412, "stale")
        assert (await server.store.find("alice")).enabled is False
        again = {"If-Match": disabled.headers["etag"]}
        assert (await server.client.delete(f"{URL}/alice", headers=again)).status_code == 204

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
    async def test_a_change_names_what_it_changes(self, server, method):
        await server.client.post(URL, json=ALICE)
        answer = await server.client.request(method, f"{URL}/alice", json={})
        assert (answer.status_code, answer.json()["code"]) == (428, "precondition_required")
        answer = await server.client.request(method, f"{URL}/alice", json={}, headers={"If-Match": '"x"'})
        assert (answer.status_code, answer.json()["code"]) == (412, "stale")


class TestPatchUser:
    async def test_keeps_what_it_does_not_name(self, server):
        await server.client.post(URL, json={**ALICE, "settings": {"network": {"mtu": 1300, "nbns": ["10.0.0.5"]}}})
        patch = {"note": "x", "max_same_clients": None, "settings": {"network": {"nbns": None}}}
        answer = await server.client.patch(
            f"{URL}/alice", headers={**ANY, "Content-Type": "application/merge-patch+json"}, content=json.dumps(patch)
        )
        assert answer.status_code == 200
        found = answer.json()
        assert (found["groups"], found["note"], found["max_same_clients"]) == (["staff"], "x", None)
        assert found["settings"] == {"network": {"mtu": 1300}}
        assert matches((await server.store.find("alice")).password_hash, "correct horse")

    @pytest.mark.parametrize(
        ("patch", "pointer"),
        [
            ({"enabled": "maybe"}, "/enabled"),
            ({"name": "bob"}, "/name"),
            ({"settings": {"network": {"mtu": 9}}}, "/settings/network/mtu"),
            ({"settings": {"network": {"device": "x"}}}, "/settings/network/device"),
            ({"settings": {"network": {"ipv4_pool": "10.1.0.0/16"}}}, "/settings/network/ipv4_pool"),
            ({"settings": {"limits": {"max_same_clients": 3}}}, "/settings/limits"),
        ],
    )
    async def test_invalid(self, server, patch, pointer):
        await server.client.post(URL, json=ALICE)
        answer = await server.client.patch(f"{URL}/alice", headers=ANY, json=patch)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == pointer


class TestEffectiveSettings:
    async def test_each_value_says_where_it_comes_from(self, server):
        staff = {"network": {"routes": ["10.0.0.0/8"], "mtu": 1300}, "limits": {"max_same_clients": 5}}
        await server.client.post("/api/v1/groups", json={"name": "staff", "settings": staff})
        await server.client.post(URL, json={**ALICE, "settings": {"network": {"mtu": 1200}}})
        found = (await server.client.get(f"{URL}/alice")).json()["effective"]
        assert found["network.mtu"] == {"value": 1200, "origin": "user alice"}
        assert found["network.routes"] == {"value": ["10.0.0.0/8"], "origin": "group staff"}
        assert found["limits.max_same_clients"] == {"value": 1, "origin": "user alice"}
        assert found["session.dpd"] == {"value": 90, "origin": "global"}
        assert "network.device" not in found

    async def test_the_answer_says_what_is_in_force(self, server, view):
        await server.client.post(URL, json=ALICE)
        server.sessions.add(view())
        settings = {"network": {"routes": ["10.0.0.0/8"], "restrict_to_routes": True}, "quota": {"day": 10**9}}
        answer = await server.client.patch(f"{URL}/alice", headers=ANY, json={"settings": settings})
        found = answer.json()
        assert found["in_force"] == ["network.restrict_to_routes", "quota.day"]
        assert found["at_next_login"] == ["network.routes"]
        ((before, after, dry_run),) = server.sessions.changed_users
        assert (before.overrides, after.overrides["quota"], dry_run) == ({}, {"day": 10**9}, False)
        assert (await server.store.find("alice")).overrides == after.overrides


class TestDeleteUser:
    async def test_disconnects(self, server, view):
        await server.client.post(URL, json=ALICE)
        server.sessions.add(view())
        assert (await server.client.delete(f"{URL}/alice", headers=ANY)).status_code == 204
        assert not server.sessions.views
        assert await server.store.find("alice") is None
        assert (await server.client.delete(f"{URL}/alice", headers=ANY)).status_code == 404

    async def test_locations_of_a_deleted_user_are_removed(self, server, control):
        await server.client.post(URL, json=ALICE)
        for user in ("alice", "ben"):
            server.engine.detectors.learn_countries(user, frozenset({"DE"}))
        await EngineStateSaver(server.store, server.engine, control).save()
        assert (await server.client.delete(f"{URL}/alice", headers=ANY)).status_code == 204
        assert [user for user, _, _ in server.engine.detectors.locations()] == ["ben"]
        async with server.store.read() as unit:
            assert [row["user"] for row in await unit.locations.read_all()] == ["ben"]
