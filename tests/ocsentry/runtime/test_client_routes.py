# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel follows the routes that are wanted, through errors and changes of mind."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network

import pytest

from lab.timeouts import TIMEOUT
from ocsentry.runtime import client_routes
from ocsentry.runtime.client_routes import KernelRoutes
from vpn_frontend.testing import MemoryEvents

pytestmark = pytest.mark.asyncio
ONE, OTHER = ip_network("10.30.0.0/24"), ip_network("fd30::/64")


class Changer:
    """Takes changes as the helper does; ``broken`` networks cannot be added."""

    def __init__(self):
        self.calls = []
        self.broken = set()
        self.present = set()

    def change_route(self, action, network):
        self.calls.append((action, network))
        if action == "add" and network in self.broken:
            raise OSError(17, "File exists")
        (self.present.add if action == "add" else self.present.discard)(network)


@pytest.fixture
def changer():
    return Changer()


async def until(condition):
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 - of a thread
            await asyncio.sleep(0)


async def test_the_kernel_has_what_is_wanted(changer):
    async with KernelRoutes(changer, MemoryEvents()).running() as routes:
        routes.add(ONE)
        routes.add(OTHER)
        await until(lambda: changer.present == {str(ONE), str(OTHER)})
        routes.remove(ONE)
        await until(lambda: changer.present == {str(OTHER)})


async def test_a_route_that_was_lost_is_set_again_while_it_is_wanted(changer):
    async with KernelRoutes(changer, MemoryEvents()).running() as routes:
        routes.add(ONE)
        routes.add(OTHER)
        await until(lambda: len(routes.placed) == 2)
        changer.present.clear()
        routes.renew([ONE])
        await until(lambda: changer.present == {str(ONE)})
        routes.remove(ONE)
        assert routes.placed == (OTHER,)
        routes.renew([ONE])
        await until(lambda: not changer.present)
    assert changer.calls.count(("add", str(ONE))) == 2


async def test_changes_that_undo_each_other_never_reach_the_kernel(changer):
    async with KernelRoutes(changer, MemoryEvents()).running() as routes:
        for _ in range(100):
            routes.add(ONE)
            routes.remove(ONE)
        routes.add(OTHER)
        await until(lambda: changer.present)
    assert changer.calls == [("add", str(OTHER))]


async def test_a_route_that_fails_is_told_once_and_tried_again(changer, monkeypatch):
    monkeypatch.setattr(client_routes, "RETRY", 0)
    events = MemoryEvents()
    changer.broken.add(str(ONE))
    async with KernelRoutes(changer, events).running() as routes:
        routes.add(ONE)
        routes.add(OTHER)
        await until(lambda: len(changer.calls) > 3)
        assert changer.present == {str(OTHER)}
        assert [kind for kind, _ in events.seen] == ["iroute_failed"]
        changer.broken.clear()
        await until(lambda: changer.present == {str(ONE), str(OTHER)})


async def test_a_route_that_fails_and_is_not_wanted_any_more_is_forgotten(changer):
    changer.broken.add(str(ONE))
    events = MemoryEvents()
    async with KernelRoutes(changer, events).running() as routes:
        routes.add(ONE)
        await until(lambda: events.seen)
        routes.remove(ONE)
        routes.add(OTHER)
        await until(lambda: changer.present)
    assert changer.calls == [("add", str(ONE)), ("add", str(OTHER))]


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1", True), ("::1", True), ("192.0.2.77", False), ("2001:db8::77", False)],
)
async def test_the_hosts_own_addresses_are_known(changer, address, local):
    assert KernelRoutes(changer, MemoryEvents()).is_local(ip_address(address)) is local
