# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that set the routes to networks behind clients: what they are given, and which session has which route."""

import asyncio
from ipaddress import ip_network

import pytest

from ocsentry.privileges.hooks.client import HookHelper, HookResult
from ocsentry.privileges.hooks.route_arguments import fill_in
from ocsentry.privileges.hooks.route_programs import RoutePrograms
from ocsentry.privileges.hooks.runner import HookRunner
from ocsentry.privileges.hooks.scope import HookScope
from vpn_frontend.sessions.records.hook_environment import MAX_VALUE, fit
from vpn_frontend.testing import MemoryEvents

BOTH = ("route_add", "route_del")
SITE, MASKED = "10.30.0.0/24", "10.30.0.0/255.255.255.0 "


def of(session, networks=MASKED):
    return {"ID": session, "OCSERV_IROUTES": networks}


class Programs:
    """Notes what runs. ``problems`` by program and network; ``held`` waits for it before it answers."""

    def __init__(self):
        self.ran = []
        self.problems = {}
        self.held = {}

    async def run_program(self, program, environment, network=""):
        self.ran.append((program, network, environment["ID"]))
        if (program, network) in self.held:
            await self.held[program, network]
        return HookResult(self.problems.get((program, network), ""))


@pytest.fixture
def programs():
    return Programs()


@pytest.fixture
def routes(programs):
    return RoutePrograms(programs, BOTH)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("10.30.0.0/24", ["10.30.0.0/255.255.255.0", "10.30.0.0/24", "ocs0", "10.30.0.0/255.255.255.0 via ocs0", "%X"]),
        ("fd00:7::/64", ["fd00:7::/64", "fd00:7::/64", "ocs0", "fd00:7::/64 via ocs0", "%X"]),
    ],
)
def test_what_stands_for_network_and_device(network, words):
    argv = ("/bin/%R", "%{R}", "%{RI}", "%D", "%R via %{D}", "%X")
    assert fill_in(argv, ip_network(network), "ocs0") == ("/bin/%R", *words)


@pytest.mark.asyncio
async def test_each_network_has_its_route_as_long_as_its_session(routes, programs):
    assert await routes.run_program("connect", of("1", f"{MASKED}fd00:7::/64 ")) == HookResult("")
    assert await routes.run_program("disconnect", of("1")) == HookResult("")
    assert programs.ran == [
        ("route_add", SITE, "1"),
        ("route_add", "fd00:7::/64", "1"),
        ("route_del", SITE, "1"),
        ("route_del", "fd00:7::/64", "1"),
    ]
    await routes.run_program("disconnect", of("1"))
    assert len(programs.ran) == 4


@pytest.mark.asyncio
async def test_more_networks_than_an_environment_holds_have_their_routes(routes, programs):
    networks = [ip_network(f"10.{number // 256}.{number % 256}.0/24") for number in range(512)]
    written = "".join(f"{network.with_netmask} " for network in networks)
    assert await routes.run_program("connect", of("1", written)) == HookResult("")
    assert [network for _, network, _ in programs.ran] == [*map(str, networks)]
    shown = fit(written)
    assert 0 < len(shown) <= MAX_VALUE
    assert [ip_network(text) for text in shown.split()] == networks[: shown.count(" ")], "each is whole"
    assert fit("x" * 9000) == "x" * MAX_VALUE


@pytest.mark.asyncio
async def test_a_failing_one_refuses_the_client_and_what_was_added_is_removed(routes, programs):
    programs.problems["route_add", "fd00:7::/64"] = "exit code 2"
    result = await routes.run_program("connect", of("1", f"{MASKED}fd00:7::/64 "))
    assert result.problem == "route_add of fd00:7::/64: exit code 2"
    assert programs.ran[2:] == [("route_del", SITE, "1")]
    await routes.run_program("disconnect", of("1"))
    assert len(programs.ran) == 3


@pytest.mark.asyncio
async def test_a_refusing_connect_hook_goes_first(programs):
    routes = RoutePrograms(programs, (*BOTH, "connect"))
    programs.problems["connect", ""] = "exit code 7"
    assert (await routes.run_program("connect", of("1"))).problem == "exit code 7"
    assert programs.ran == [("connect", "", "1")]


@pytest.mark.asyncio
async def test_a_newer_session_takes_the_route_over(routes, programs):
    await routes.run_program("connect", of("1"))
    await routes.run_program("connect", of("2"))
    await routes.run_program("disconnect", of("1"))
    assert programs.ran == [("route_add", SITE, "1")]
    await routes.run_program("leave", of("2"))
    assert programs.ran[1:] == [("route_del", SITE, "2")]


@pytest.mark.asyncio
async def test_a_route_that_is_being_removed_is_added_again_behind_it(routes, programs):
    await routes.run_program("connect", of("1"))
    programs.held["route_del", SITE] = held = asyncio.get_running_loop().create_future()
    leaving = asyncio.create_task(routes.run_program("disconnect", of("1")))
    coming = asyncio.create_task(routes.run_program("connect", of("2")))
    for _ in range(5):
        await asyncio.sleep(0)
    assert programs.ran[1:] == [("route_del", SITE, "1")]
    held.set_result(None)
    await asyncio.gather(leaving, coming)
    assert programs.ran[2:] == [("route_add", SITE, "2")]
    assert routes._changes == {}


@pytest.mark.asyncio
async def test_without_a_program_to_remove_nothing_runs_and_the_end_removes_what_is_left(programs):
    routes = RoutePrograms(programs, ("route_add",))
    await routes.run_program("connect", of("1"))
    await routes.run_program("disconnect", of("1"))
    assert programs.ran == [("route_add", SITE, "1")]
    routes = RoutePrograms(programs, BOTH)
    await routes.run_program("connect", of("2"))
    await routes.close()
    assert programs.ran[1:] == [("route_add", SITE, "2"), ("route_del", SITE, "2")]


@pytest.mark.asyncio
async def test_a_failing_removal_is_told(programs):
    events = MemoryEvents()
    routes = RoutePrograms(programs, BOTH)
    runner = HookRunner(routes, routes.names, events, sets_routes=True)
    assert runner.each_connection
    assert await runner.connect("s1", "alice", of("1"))
    programs.problems["route_del", SITE] = "exit code 1"
    runner.disconnect("s1", "alice", of("1"))
    await runner.drain()
    [(kind, fields)] = events.seen
    assert (kind, fields["problem"]) == ("hook_failed", f"route_del of {SITE}: exit code 1")


@pytest.mark.asyncio
async def test_the_helper_puts_network_and_device_into_single_arguments():
    argv, many = ("/bin/echo", "route %{RI}", "dev", "%D", "$(reboot)"), "10.0.0.0/255.255.255.0 " * MAX_VALUE
    failing = ("/bin/sh", "-c", 'echo "$@"; exit 3', "sh", *argv[1:])
    helper = HookHelper.start(HookScope({"route_add": failing}, 60, device="ocs 0"))
    helper.attach()
    try:
        result = await helper.run_program("route_add", {"ID": "1", "OCSERV_IROUTES": many}, SITE)
        assert (result.problem, result.output) == ("exit code 3", f"route {SITE} dev ocs 0 $(reboot)")
        assert (await helper.run_program("route_add", {"ID": "1"}, "10.0.0.0/8; id")).problem == "the network is none"
    finally:
        helper.detach()
        helper.close()
