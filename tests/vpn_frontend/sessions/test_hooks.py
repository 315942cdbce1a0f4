# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks at the beginning, at the end and at a change of sessions, and their environment."""

import asyncio
from ipaddress import IPv4Address, ip_network

import pytest

from vpn_frontend.gateway.interface import Cause
from vpn_frontend.ports import CloseReason, Device, UserRecord
from vpn_frontend.protocol.connect_request import TunnelRequest
from vpn_frontend.sessions.admission import CookieError, Login, RefusedError
from vpn_frontend.sessions.records.hook_environment import HOOK_VARIABLES
from vpn_frontend.settings import parse_port_rule

USER_QUIT = (Cause.PEER_DISCONNECT, b"\xb0user quit")


class Hooks:
    """Hooks that answer at once, or wait for ``answer``."""

    def __init__(self, accept=True, each_connection=False):
        self.has_connect = True
        self.each_connection = each_connection
        self.sets_routes = False
        self.accept = accept
        self.seen = []
        self.answer = None

    async def connect(self, session, user, environment):
        self.seen.append(environment)
        return self.accept if self.answer is None else await self.answer

    def disconnect(self, session, user, environment):
        self.seen.append(environment)

    def host_update(self, session, user, environment):
        self.seen.append(environment)

    def reasons(self):
        return [environment["REASON"] for environment in self.seen]


@pytest.fixture
def make_hooked(make_lab):
    def make(hooks, **settings):
        lab = make_lab(**settings)
        lab.table._hook_calls.hooks = hooks
        return lab

    return make


async def connect(lab, cookie, request=None, address="192.0.2.1"):
    peer = lab.peer(address)
    admission = lab.begin(cookie, peer, request)
    assert admission.asks_hook
    grant = lab.table.grant_tunnel(admission, lab.now)
    await lab.table.ask_connect_hook(admission)
    lab.table.attach_tunnel(admission, grant, lambda _: (b"HEAD", b""), lab.now)
    lab.pump()
    return peer.connection_id


@pytest.mark.asyncio
async def test_a_session_is_told_at_its_beginning_and_its_end(make_hooked):
    hooks = Hooks()
    lab = make_hooked(hooks)
    connection = await connect(lab, lab.log_in())
    number = next(iter(lab.gateway.sessions))
    lab.gateway.move_data(number, received=70, sent=30)
    lab.pass_time(90)
    lab.hang_up(connection, *USER_QUIT)
    assert hooks.reasons() == ["connect", "disconnect"]
    first, last = hooks.seen
    assert first["USERNAME"] == "alice"
    assert (first["IP_REAL"], first["IP_REMOTE"], first["IP_LOCAL"]) == ("192.0.2.1", "192.168.99.2", "192.168.99.1")
    assert (first["IPV6_REMOTE"], first["IPV6_LOCAL"], first["IPV6_PREFIX"]) == ("fd00:99::2", "fd00:99::1", "64")
    assert (first["DEVICE"], first["VHOST"]) == ("ocs0", "default")
    assert "STATS_DURATION" not in first
    assert (last["STATS_BYTES_IN"], last["STATS_BYTES_OUT"], last["STATS_DURATION"]) == ("70", "30", "90")
    assert first["ID"] == last["ID"] == "1"


@pytest.mark.asyncio
async def test_hooks_of_each_connection_hear_of_what_was_moved_since_the_one_before(make_hooked):
    hooks = Hooks(each_connection=True)
    lab = make_hooked(hooks)
    cookie = lab.log_in()
    await connect(lab, cookie)
    number = next(iter(lab.gateway.sessions))
    lab.gateway.move_data(number, received=70, sent=30)
    lab.pass_time(90)
    connection = await connect(lab, cookie, address="192.0.2.9")
    lab.gateway.move_data(number, received=5, sent=1)
    lab.pass_time(9)
    lab.hang_up(connection, *USER_QUIT)
    assert hooks.reasons() == ["connect", "disconnect", "connect", "disconnect"]
    assert [one["IP_REAL"] for one in hooks.seen] == ["192.0.2.1", "192.0.2.1", "192.0.2.9", "192.0.2.9"]
    assert len({one["IP_REMOTE"] for one in hooks.seen}) == 1
    names = ("STATS_BYTES_IN", "STATS_BYTES_OUT", "STATS_DURATION")
    assert [tuple(hooks.seen[place][name] for name in names) for place in (1, 3)] == [
        ("70", "30", "90"),
        ("5", "1", "9"),
    ]


@pytest.mark.asyncio
async def test_a_hook_that_refuses_a_returning_client_ends_its_session(make_hooked):
    hooks = Hooks(each_connection=True)
    lab = make_hooked(hooks)
    cookie = lab.log_in()
    await connect(lab, cookie)
    hooks.accept = False
    with pytest.raises(RefusedError):
        await connect(lab, cookie)
    lab.pump()
    assert hooks.reasons() == ["connect", "disconnect", "connect"]
    assert (len(lab.table), lab.engine.leases()) == (0, [])


@pytest.mark.asyncio
async def test_a_refusing_hook_refuses_and_leaves_nothing(make_hooked):
    hooks = Hooks(accept=False)
    lab = make_hooked(hooks)
    cookie = lab.log_in()
    with pytest.raises(RefusedError) as refused:
        await connect(lab, cookie)
    assert refused.value.reason == "connect_hook"
    lab.pump()
    assert (len(lab.table), lab.engine.leases(), lab.recorder.open) == (0, [], {})
    assert hooks.reasons() == ["connect"]
    with pytest.raises(CookieError):
        lab.table.find_session(cookie)


@pytest.mark.asyncio
async def test_while_the_hook_runs_the_session_is_nobody_s(make_hooked):
    hooks = Hooks()
    lab = make_hooked(hooks)
    hooks.answer = asyncio.get_running_loop().create_future()
    cookie = lab.log_in()
    task = asyncio.create_task(connect(lab, cookie))
    await asyncio.sleep(0)
    assert lab.live.list() == []
    assert await lab.live.reassess(lab.now) == []
    with pytest.raises(RefusedError, match="being set up"):
        lab.begin(cookie, lab.peer("192.0.2.9"))
    lab.pass_time(1)
    hooks.answer.set_result(True)
    await task
    assert len(lab.live.list()) == 1


@pytest.mark.asyncio
async def test_a_session_that_is_ended_meanwhile_is_told_so(make_hooked):
    hooks = Hooks()
    lab = make_hooked(hooks)
    hooks.answer = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(connect(lab, lab.log_in()))
    await asyncio.sleep(0)
    lab.live.kill_user("alice", "Bye.", now=lab.now)
    lab.pump()
    hooks.answer.set_result(True)
    with pytest.raises(CookieError):
        await task
    assert hooks.reasons() == ["connect", "disconnect"]


@pytest.mark.asyncio
async def test_a_block_that_comes_while_the_hook_runs_counts(make_hooked):
    hooks = Hooks()
    lab = make_hooked(hooks)
    hooks.answer = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(connect(lab, lab.log_in()))
    await asyncio.sleep(0)
    lab.engine.block(ip_network("192.0.2.1/32"), rule_id="test")
    hooks.answer.set_result(True)
    with pytest.raises(RefusedError):
        await task
    lab.pump()
    assert (len(lab.table), lab.engine.leases()) == (0, [])


@pytest.mark.asyncio
async def test_a_host_name_is_told_once_and_when_it_changes(make_hooked):
    hooks = Hooks()
    lab = make_hooked(hooks)
    cookie = lab.log_in()
    await connect(lab, cookie, TunnelRequest(hostname="laptop"))
    for hostname in ("laptop", "", "desk"):
        lab.tunnel(cookie, request=TunnelRequest(hostname=hostname))
    assert hooks.reasons() == ["connect", "host-update", "host-update"]
    assert [one["REMOTE_HOSTNAME"] for one in hooks.seen] == ["laptop", "laptop", "desk"]


@pytest.mark.asyncio
async def test_the_environment_has_the_networks_and_no_byte_that_a_peer_smuggles_in(make_hooked):
    hooks = Hooks()
    ports = tuple(map(parse_port_rule, ("tcp/443", "udp/8000-8100", "icmp", "sctp")))
    network = {
        "routes": (ip_network("10.0.0.0/8"), ip_network("fd00:1::/48")),
        "no_routes": (ip_network("10.9.0.0/16"),),
        "dns": (IPv4Address("192.0.2.53"),),
        "restrict_to_routes": True,
        "restrict_to_ports": ports,
        "iroutes": tuple(ip_network(f"172.{16 + number // 256}.{number % 256}.0/24") for number in range(512)),
    }
    lab = make_hooked(hooks, network=network)
    device = Device(name="h\u00f6st\n", kind="x\0y", platform="p" * 999)
    cookie = lab.table.log_in(Login(UserRecord("alice"), ("staff", "ops"), device, "agent\x1b[2J"), lab.now)
    await connect(lab, cookie)
    [seen] = hooks.seen
    assert (seen["OCSERV_ROUTES"], seen["OCSERV_ROUTES4"]) == ("10.0.0.0/255.0.0.0 fd00:1::/48 ", "10.0.0.0/255.0.0.0 ")
    assert (seen["OCSERV_ROUTES6"], seen["OCSERV_NO_ROUTES"]) == ("fd00:1::/48 ", "10.9.0.0/255.255.0.0 ")
    assert (seen["OCSERV_DNS"], seen["OCSERV_RESTRICT_TO_ROUTES"]) == ("192.0.2.53 ", "1")
    assert seen["OCSERV_ALLOW_PORTS"] == "tcp 443 udp 8000:8100 icmp all sctp all "
    assert "OCSERV_DENY_PORTS" not in seen
    assert len(seen["OCSERV_IROUTES"].split()) == 512, "each needs its route"
    assert (seen["GROUPNAME"], seen["HOSTNAME"], seen["DEVICE_TYPE"]) == ("staff", "h?st?", "x?y")
    assert len(seen["DEVICE_PLATFORM"]) == 256
    assert seen["USER_AGENT"] == "agent?[2J"
    assert set(seen) <= HOOK_VARIABLES


def test_without_a_connect_hook_the_others_run_all_the_same(make_hooked):
    hooks = Hooks()
    hooks.has_connect = False
    lab = make_hooked(hooks)
    connection, _ = lab.tunnel(lab.log_in())
    lab.hang_up(connection, *USER_QUIT)
    assert hooks.reasons() == ["disconnect"]
    assert lab.reasons() == [CloseReason.USER_DISCONNECT]
