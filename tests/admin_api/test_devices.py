# SPDX-License-Identifier: GPL-3.0-or-later
"""``/users/{name}/devices``: devices are listed by what their clients say, named, and forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest

from admin_api.http.identity import Scope
from admin_api.retention import RetentionTimes, remove_old_rows
from admin_api.store.identities import devices as rows
from tests.admin_api.conftest import make_view
from vpn_frontend.ports import CloseReason, Device, JournalEntry, Stage

pytestmark = pytest.mark.asyncio

URL = "/api/v1/users/alice/devices"
PHONE = Device(name="phone", platform="apple-ios", platform_version="17.1", kind="iPhone", unique_id="A1B2C3D4")


async def open_sessions(server, *views):
    await server.services.store.record([JournalEntry(Stage.OPENED, view) for view in views])


async def list_devices(server):
    return (await server.client.get(URL)).json()["items"]


async def test_devices_are_told_apart_by_what_clients_say(server):
    laptop, tablet = make_view("s1"), make_view("s2", hostname="tablet")
    named = make_view("s3", device=PHONE, hostname="phone")
    await open_sessions(server, laptop, tablet, named)
    again = [
        make_view("s4", address="203.0.113.9", user_agent="Open AnyConnect VPN Agent v9.12"),  # updated, elsewhere
        make_view("s5", device=PHONE, hostname="renamed"),
    ]
    server.sessions.add(again[0])
    await open_sessions(server, *again)
    found = {device["hostname"]: device for device in await list_devices(server)}
    assert found.keys() == {"laptop", "tablet", "renamed"}
    assert found["laptop"]["address"] == "203.0.113.9"
    assert found["laptop"]["user_agent"] == "Open AnyConnect VPN Agent v9.12"
    assert found["laptop"]["sessions"] == ["s4"]
    assert (found["renamed"]["platform"], found["renamed"]["kind"]) == ("apple-ios", "iPhone")
    one = await server.client.get(f"{URL}/{found['tablet']['id']}")
    assert one.json() == found["tablet"]


async def test_a_name_stays_and_a_forgotten_device_comes_back_with_its_next_tunnel(server):
    await open_sessions(server, make_view("s1"))
    device = (await list_devices(server))[0]
    named = await server.client.patch(f"{URL}/{device['id']}", json={"name": "Head office"})
    assert named.json()["name"] == "Head office"
    await open_sessions(server, make_view("s2", address="203.0.113.9"))
    assert (await list_devices(server))[0]["name"] == "Head office"
    assert (await server.client.delete(f"{URL}/{device['id']}")).status_code == 204
    assert (await server.client.delete(f"{URL}/{device['id']}")).status_code == 404
    assert (await server.client.get(URL)).status_code == 404  # neither a user of this server nor a device
    await open_sessions(server, make_view("s3", address="203.0.113.9"))
    assert [(one["id"], one["name"]) for one in await list_devices(server)] == [(device["id"], "")]
    async with server.services.store.read() as unit:
        actions = [row.action for row in await unit.audit.page(past=None, limit=10)]
    assert actions[:2] == ["device_forgotten", "device_named"]


async def test_a_removed_user_has_no_devices_and_access_needs_the_scopes(server):
    await server.client.post("/api/v1/users", json={"name": "alice", "password": "correct horse"})
    assert await list_devices(server) == []
    await open_sessions(server, make_view("s1"))
    device = (await list_devices(server))[0]
    reader = await server.client_with(Scope.USERS_READ)
    assert (await reader.get(URL)).status_code == 200
    assert (await reader.patch(f"{URL}/{device['id']}", json={"name": "x"})).status_code == 403
    assert (await reader.delete(f"{URL}/{device['id']}")).status_code == 403
    await server.client.delete("/api/v1/users/alice", headers={"If-Match": "*"})
    async with server.services.store.read() as unit:
        assert await unit.devices.list("alice") == []


async def test_the_devices_of_a_user_are_bounded_and_end_with_the_sessions(server, monkeypatch):
    monkeypatch.setattr(rows, "MAX_DEVICES", 3)
    store = server.services.store
    for number in range(5):
        await open_sessions(server, make_view(f"s{number}", hostname=f"host{number}"))
    await open_sessions(server, make_view("other", user="bob"))
    assert [one["hostname"] for one in await list_devices(server)] == ["host4", "host3", "host2"]
    await store.record([JournalEntry(Stage.CLOSED, make_view("s4", hostname="host4"), CloseReason.LOGOUT)])
    assert len(await list_devices(server)) == 3
    later = store.clock.wall() + timedelta(days=3)
    store.clock = type(store.clock)(wall=lambda: later, monotonic=store.clock.monotonic)
    await remove_old_rows(store, RetentionTimes(sessions=86_400.0))
    async with store.read() as unit:
        assert (await unit.devices.list("alice"), await unit.devices.list("bob")) == ([], [])


async def test_a_device_that_was_just_written_is_not_written_again():
    recent = rows.RecentDevices()
    view = make_view("s1")
    assert recent.choose([view, make_view("s2")], 0.0) == [make_view("s2")]
    recent.note([view], 0.0)
    assert recent.choose([view], rows.FRESH - 1) == []
    assert recent.choose([view], rows.FRESH) == [view]
    assert recent.choose([make_view("s3", address="203.0.113.9")], 1.0) != []


async def test_one_row_is_written_once_for_names_that_compare_equal():
    views = [make_view("s1", user="ana"), make_view("s2", user="\uff41na"), make_view("s3", user="bob")]
    chosen = rows.RecentDevices().choose(views, 0.0)  # PostgreSQL refuses a statement that writes a row twice
    assert [view.id for view in chosen] == ["s2", "s3"]
