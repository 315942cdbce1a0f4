# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of two nodes and a fleet whose answers the test gives. The real fleet is in tests/admin_api/fleet."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from types import SimpleNamespace

import pytest

from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import OpenRecord, UserRecord
from vpn_frontend.sessions.admission import CookieError, RefusedError
from vpn_frontend.sessions.fleet.lent_pool import LentPool
from vpn_frontend.sessions.fleet.port import AdmitStatus, Answer, Claim, ClaimStatus, FleetSilentError, Holder, Standing
from vpn_frontend.sessions.session import Phase
from vpn_frontend.testing.memory_ports import row_of

pytestmark = pytest.mark.asyncio
COUNTERS = Counters(rx_packets=3, rx_bytes=300, tx_packets=4, tx_bytes=400)


async def enter(lab, cookie, **how):
    """CONNECT as tunnel set-up does it."""
    peer = lab.peer()
    admission = lab.begin(cookie, peer, **how)
    assert admission.enters_fleet
    try:
        await lab.table.entrance.admit(admission, lab.now)
        grant = lab.open(admission)
    finally:
        lab.table.abandon_tunnel(admission)
    lab.pump()
    return peer.connection_id, grant


async def test_a_server_that_is_alone_asks_nobody(make_lab):
    lab = make_lab()
    assert lab.table.entrance is None
    cookie = lab.log_in()
    assert len(cookie) == 64
    assert not lab.begin(cookie, lab.peer()).enters_fleet
    assert not any(isinstance(pool, LentPool) for pool in lab.table._pools)


async def test_a_tunnel_is_admitted_with_its_addresses_and_released_once(node, fleet):
    cookie = node.log_in()
    assert fleet.keys.open(cookie).user == "alice"
    _, grant = await enter(node, cookie)
    (entry,) = fleet.admitted
    assert (entry.ipv4, entry.ipv6) == (grant.ipv4, grant.ipv6)
    assert (entry.user, entry.limit, entry.on_excess, entry.generation) == ("alice", 2, "deny_new", 1)
    session = node.table.find_session(cookie)
    assert not node.begin(cookie, node.peer()).enters_fleet  # its reconnect asks nothing
    node.table.log_out(cookie, node.now)
    assert fleet.released == []  # its gateway has not closed it yet
    node.pump()
    assert fleet.released == [(session.id, 1)]
    assert grant.ipv4 in fleet.given_back
    assert node.reasons()


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (Answer(AdmitStatus.ADDRESS), "no_address"),
        (FleetSilentError("no answer"), "fleet_silent"),
    ],
)
async def test_a_refused_client_may_ask_again(node, fleet, answer, refused):
    cookie = node.log_in()
    fleet.answers = [answer]
    with pytest.raises(RefusedError) as error:
        await enter(node, cookie)
    assert error.value.reason == refused
    session = node.table.find_session(cookie)
    assert session.phase is Phase.WAITING
    assert session.addresses is None
    assert node.engine.leases() == []
    await enter(node, cookie)
    assert [entry.generation for entry in fleet.admitted] == [1, 2]
    assert session.generation == 2


async def test_places_of_silent_clients_are_contested_once(node, fleet):
    holder = Holder("00" * 16, 7, 3)
    fleet.answers = [Answer(AdmitStatus.FULL, (holder,)), Answer(AdmitStatus.OK)]
    await enter(node, node.log_in())
    assert fleet.contested == [holder]
    fleet.answers = [Answer(AdmitStatus.FULL, (holder,))] * 2
    with pytest.raises(RefusedError) as error:
        await enter(node, node.log_in())
    assert error.value.reason == "max_same_clients"
    assert fleet.released == []


async def test_a_revoked_login_has_to_log_in_again(node, fleet):
    fleet.answers = [Answer(AdmitStatus.REVOKED)]
    with pytest.raises(CookieError):
        await enter(node, node.log_in())


async def test_a_session_that_ends_while_the_fleet_is_asked_holds_nothing(node, fleet):
    cookie = node.log_in()
    fleet.admit = pause = Pausing(fleet.admit)
    task = asyncio.create_task(enter(node, cookie))
    await pause.reached.wait()
    session = node.table.find_session(cookie)
    with pytest.raises(RefusedError):  # a second connection of it waits
        node.begin(cookie, node.peer())
    node.table.log_out(cookie, node.now)
    pause.go_on.set()
    with pytest.raises(CookieError):
        await task
    assert fleet.released == [(session.id, 1)]
    assert node.table._pools.ipv4.used == 0


class Pausing:
    def __init__(self, call):
        self._call = call
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, *arguments):
        self.reached.set()
        await self.go_on.wait()
        return await self._call(*arguments)


async def test_another_node_goes_on_with_address_and_counters(node, fleet, make_lab):
    cookie = node.log_in()
    await enter(node, cookie)
    session = node.table.find_session(cookie)
    draft = node.recorder.drafts[session.id]
    record = OpenRecord(session.id, draft.render(), 700, row_of(node.recorder.open[session.id]))
    other = make_lab(fleet=fleet)
    other.now += 5000.0  # another machine's clock
    peer = other.peer()
    with pytest.raises(CookieError):
        await other.table.entrance.claim(cookie, peer, "", other.now)
    fleet.claim_answer = FleetSilentError("cut off")
    with pytest.raises(RefusedError):  # not a refusal of the cookie: that would end its client
        await other.table.entrance.claim(cookie, peer, "", other.now)
    with pytest.raises(CookieError):
        await other.table.entrance.claim(cookie, peer, "another host", other.now)
    with pytest.raises(CookieError):
        await other.table.entrance.claim("A" * 140, peer, "", other.now)
    fleet.claim_answer = Claim(ClaimStatus.OK, 2, 60.0, record, COUNTERS)
    claim, saved = await other.table.entrance.claim(cookie, peer, "", other.now)
    taken = other.table.entrance.restore(claim, saved, UserRecord("alice", ""), other.table.restorer, other.now)
    assert (taken.addresses, taken.counters, taken.generation) == (session.addresses, COUNTERS, 2)
    assert taken.login_at == other.now - 60.0
    other.recorder.open[taken.id] = None
    other.tunnel(cookie)

    node.table.entrance.carry_out("let_go", session.id, 7)  # of another generation
    assert session.phase is Phase.OPEN
    node.table.entrance.carry_out("let_go", session.id, 1)
    node.pump()
    assert session.phase is Phase.CLOSED
    assert fleet.released == []
    assert session.addresses.ipv4 not in fleet.given_back
    assert not node.table._pools.ipv4.has_free(session.addresses.ipv4)
    assert node.recorder.ended == {}  # it goes on: its row has no end


async def test_a_claimed_session_that_may_not_live_is_released(node, fleet, make_lab):
    cookie = node.log_in()
    await enter(node, cookie)
    session = node.table.find_session(cookie)
    record = OpenRecord(
        session.id, node.recorder.drafts[session.id].render(), 0, row_of(node.recorder.open[session.id])
    )
    other = make_lab({"wolfsentry": {"version": "1.6.3", "rules": [
        {"id": "no", "type": "blacklist", "remote_addr": "192.0.2.0/24"}]}}, fleet=fleet)  # fmt: skip
    fleet.claim_answer = Claim(ClaimStatus.OK, 2, 60.0, record, COUNTERS)
    claim, saved = await other.table.entrance.claim(cookie, other.peer(), "", other.now)
    other.recorder.open[saved.id] = None
    with pytest.raises(CookieError):
        other.table.entrance.restore(claim, saved, UserRecord("alice", ""), other.table.restorer, other.now)
    assert fleet.released == [(session.id, 2)]


async def test_while_cut_off_no_freed_address_is_given_out_again(node, fleet):
    pool = node.table._pools.ipv4
    first, second = node.log_in(), node.log_in("bob")
    _, grant = await enter(node, first)
    fleet.cut_off = True
    node.table.log_out(first, node.now)
    node.pump()
    with pytest.raises(RefusedError):
        await enter(node, second, user="bob")
    assert not pool.has_free(grant.ipv4)
    fleet.cut_off = False
    fleet.lent_now = {pool.network: [grant.ipv4]}
    await node.table.entrance.reassert()
    assert grant.ipv4 in fleet.given_back  # a small pool: handed back singly


@pytest.mark.parametrize("alone", [True, False])
async def test_new_tunnels_while_cut_off_are_as_configured(node, fleet, alone):
    fleet.cut_off, fleet.alone_is_allowed = True, alone
    for pool in node.table._pools:
        pool.add([pool.network[4]])
    fleet.answers = [FleetSilentError("cut off")]
    cookie = node.log_in()
    if not alone:
        with pytest.raises(RefusedError):
            await enter(node, cookie)
        return
    await enter(node, cookie)
    session = node.table.find_session(cookie)
    assert session.generation == 0
    fleet.cut_off = False
    fleet.standings = {session.id: Standing.UNKNOWN}
    await node.table.entrance.reassert()
    assert session.generation == 2
    assert session.phase is Phase.OPEN


@pytest.mark.parametrize(
    ("standing", "answer", "ends"),
    [
        (Standing.OK, None, False),
        (Standing.MOVED, None, True),
        (Standing.REPLACED, None, True),
        (Standing.UNKNOWN, Answer(AdmitStatus.OK), False),
        (Standing.UNKNOWN, Answer(AdmitStatus.FULL), True),
    ],
)
async def test_on_the_return_only_what_the_fleet_knows_lives_on(node, fleet, standing, answer, ends):
    cookie = node.log_in()
    await enter(node, cookie)
    session = node.table.find_session(cookie)
    fleet.standings = {session.id: standing}
    fleet.answers = [answer] if answer else []
    await node.table.entrance.reassert()
    node.pump()
    assert (session.phase is Phase.CLOSED) == ends
    assert len(node.recorder.ended) == (ends and standing is not Standing.MOVED)


async def test_a_session_of_a_fleet_has_an_id_of_128_bits(node, make_lab):
    """Nodes draw theirs without asking each other. A server that is alone has shorter ones."""
    ids = [one.table.find_session(one.log_in()).id for one in (node, make_lab())]
    assert [8 * len(bytes.fromhex(one)) for one in ids] == [128, 64]


class TestAdmittedAgain:
    """Sessions that the fleet does not know, such as those of a node whose database was restored."""

    async def carry(self, node, fleet, count):
        """Open sessions of as many users, which the fleet has forgotten. Returns them."""
        sessions = []
        for number in range(count):
            cookie = node.log_in(f"user{number}")
            await enter(node, cookie, user=f"user{number}")
            sessions.append(node.table.find_session(cookie))
        fleet.standings = {session.id: Standing.UNKNOWN for session in sessions}
        return sessions

    async def test_some_at_a_time(self, node, fleet, monkeypatch):
        monkeypatch.setattr("vpn_frontend.sessions.fleet.entrance.ADMITTED_AT_ONCE", 2)
        sessions = await self.carry(node, fleet, 3)
        fleet.answers = [Answer(AdmitStatus.OK), Answer(AdmitStatus.FULL), Answer(AdmitStatus.OK)]
        await node.table.entrance.reassert()
        node.pump()
        assert fleet.batches == [2, 1]
        assert [session.phase for session in sessions] == [Phase.OPEN, Phase.CLOSED, Phase.OPEN]
        assert [session.generation for session in sessions] == [2, 0, 2]

    async def test_a_silent_fleet_leaves_the_rest_for_the_next_return(self, node, fleet, monkeypatch):
        monkeypatch.setattr("vpn_frontend.sessions.fleet.entrance.ADMITTED_AT_ONCE", 1)
        sessions = await self.carry(node, fleet, 2)
        fleet.answers = [Answer(AdmitStatus.OK), FleetSilentError("away")]
        with pytest.raises(FleetSilentError):
            await node.table.entrance.reassert()
        assert [(session.phase, session.generation) for session in sessions] == [(Phase.OPEN, 2), (Phase.OPEN, 0)]
        fleet.standings = {sessions[1].id: Standing.UNKNOWN}
        await node.table.entrance.reassert()
        assert [session.generation for session in sessions] == [2, 3]

    @pytest.mark.parametrize("how", ["ended", "has left"])
    async def test_one_that_ends_meanwhile_holds_no_place(self, node, fleet, monkeypatch, how):
        (session,) = await self.carry(node, fleet, 1)
        admit = fleet.admit_several

        async def admit_slowly(entries):
            answers = await admit(entries)
            if how == "ended":
                node.live.kill(session.id, "")
            else:
                node.table.entrance.let_go(session)
            node.pump()
            assert session.phase is Phase.CLOSED
            return answers

        monkeypatch.setattr(fleet, "admit_several", admit_slowly)
        await node.table.entrance.reassert()
        if how == "ended":
            assert (session.id, 2) in fleet.released
        else:
            assert fleet.lost == [(session.id, 2)]


async def test_a_client_that_leaves_while_its_session_is_taken_over_leaves_it_to_any_node(node, fleet):
    async def never(saved):
        await asyncio.Event().wait()

    node.table.entrance.find_user = never
    saved, claim = SimpleNamespace(id="00" * 16), Claim(ClaimStatus.OK, 3)
    taking = asyncio.create_task(node.table.entrance.find_claimed(claim, saved))
    await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert fleet.lost == [(saved.id, 3)]


async def test_what_a_node_carries_is_what_the_fleet_has_admitted_here(node, fleet):
    waiting, first, second = node.log_in(), node.log_in(), node.log_in("bob")
    await enter(node, first)
    await enter(node, second, user="bob")
    ended, moved = node.table.find_session(first), node.table.find_session(second)
    entrance = node.table.entrance
    assert entrance.carried() == {ended.id: 1, moved.id: 1}
    node.table.log_out(first, node.now)
    entrance.let_go(moved)
    assert entrance.carried() == {ended.id: 1}  # the gateway has not closed it yet
    node.pump()
    assert entrance.carried() == {}
    assert not entrance.has(ended.id)
    assert entrance.has(node.table.find_session(waiting).id)


async def test_the_client_of_a_contested_session_has_two_seconds(node):
    cookie = node.log_in()
    await enter(node, cookie)
    session = node.table.find_session(cookie)
    entrance = node.table.entrance

    async def answers(condition, seconds):
        session.heard_count += 1
        assert condition()

    async def is_silent(condition, seconds):
        assert not condition()

    async def is_closed(sessions, seconds):
        node.pump()

    entrance.wait_until, entrance.until_closed = answers, is_closed
    await entrance.contest(session.id, session.generation, node.now)
    assert session.phase is Phase.OPEN
    entrance.wait_until = is_silent
    await entrance.contest(session.id, session.generation, node.now)
    assert session.phase is Phase.CLOSED


async def test_a_large_pool_keeps_a_reserve_until_others_run_out(make_lab, fleet):
    node = make_lab(fleet=fleet, network={"ipv4_pool": ip_network("10.0.0.0/19")})
    await enter(node, node.log_in())
    pool = node.table._pools.ipv4
    assert pool.free > 0
    held = pool.free
    node.table.entrance.hand_back_reserve({"10.0.0.0/19"})
    assert pool.free == 0
    assert len(fleet.given_back) == held


async def test_a_draining_node_leaves_its_clients_to_the_others_without_a_word(node, fleet):
    cookies = [node.log_in(user) for user in ("alice", "bob")]
    await enter(node, cookies[0])
    fleet.draining = True
    await enter(node, cookies[1], user="bob")  # it was logging in, and knows no other node yet
    sessions = [node.table.find_session(cookie) for cookie in cookies]
    assert node.table.entrance.drain(1) == 1
    assert node.table.entrance.drain(1) == 0
    node.pump()
    assert fleet.lost == [(session.id, 1) for session in sessions]
    assert fleet.released == []
    assert node.recorder.ended == {}
    with pytest.raises(RefusedError) as refused:
        await node.table.entrance.claim(cookies[0], node.peer(), "", node.now)
    assert refused.value.reason == "draining"


async def test_a_node_that_is_cut_off_for_the_time_of_a_cookie_ends_its_sessions_where_places_are_held(node):
    cookie = node.log_in()
    await enter(node, cookie)
    session = node.table.find_session(cookie)
    node.table.entrance.end_unheard(299.0)
    assert session.phase is Phase.OPEN
    node.table.entrance.end_unheard(300.0)
    node.pump()
    assert session.phase is Phase.CLOSED
