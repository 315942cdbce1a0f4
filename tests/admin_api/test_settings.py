# SPDX-License-Identifier: GPL-3.0-or-later
"""``/settings``: access, conditions and problems. ``tests/ocsentry/runtime`` has the running server."""

from __future__ import annotations

import pytest

from admin_api.http.identity import Scope

pytestmark = pytest.mark.asyncio
URL = "/api/v1/settings"


async def test_access(server):
    for method in ("GET", "PATCH"):
        assert (await server.anonymous.request(method, URL, json={})).status_code == 401
        wrong = await server.client_with(Scope.SETTINGS_READ if method != "GET" else Scope.USERS_WRITE)
        assert (await wrong.request(method, URL, json={})).status_code == 403


async def test_read(server):
    answer = await server.client.get(URL)
    assert answer.json()["settings"]["log.level"]["origin"] == "file"
    assert answer.json()["needs_restart"] == ["vpn.listen"]
    assert [*(await server.client.get(URL, params={"prefix": "vpn."})).json()["settings"]] == ["vpn.dtls"]


async def test_change_needs_the_etag(server):
    etag = (await server.client.get(URL)).headers["etag"]
    assert (await server.client.patch(URL, json={"log.level": "debug"})).status_code == 428
    tried = await server.client.patch(
        URL, params={"dry_run": True}, json={"log.level": "debug"}, headers={"If-Match": etag}
    )
    assert (tried.json()["in_force"], tried.headers["etag"]) == (["log.level"], etag)
    done = await server.client.patch(URL, json={"log.level": "debug"}, headers={"If-Match": etag})
    assert (done.status_code, done.json()["settings"]["log.level"]["value"]) == (200, "debug")
    assert done.headers["etag"] != etag
    stale = await server.client.patch(URL, json={"log.level": None}, headers={"If-Match": etag})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale")


async def test_a_wrong_key_is_named(server):
    answer = await server.client.patch(URL, json={"vpn.dtls": False}, headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/vpn.dtls")


async def test_without_a_server(server):
    object.__setattr__(server.services, "settings_control", None)
    assert (await server.client.get(URL)).status_code == 503
