# SPDX-License-Identifier: GPL-3.0-or-later
"""Evictions: limits of clients, roaming and dead sessions, logins that wait."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from vpn_frontend.gateway.interface import Cause
from vpn_frontend.ports import CloseReason
from vpn_frontend.protocol.cstp import disconnect_frame
from vpn_frontend.sessions import pending_logins
from vpn_frontend.sessions.admission import CookieError, RefusedError
from vpn_frontend.sessions.liveness_probe import PROBE_TIMEOUT, ProbePendingError

ONE = {"max_same_clients": 1}


def test_the_second_client_is_told_why_it_has_to_wait(make_lab):
    lab = make_lab(limits={"max_same_clients": 1})
    lab.tunnel(lab.log_in())
    with pytest.raises(RefusedError) as caught:
        lab.tunnel(lab.log_in())
    assert caught.value.reason == "max_same_clients"
    assert "already connected" in caught.value.text
    assert len(lab.engine.leases()) == 1


@pytest.mark.parametrize("cause", [Cause.PEER_CLOSED, Cause.PEER_RESET, Cause.DPD])
def test_a_roaming_session_never_locks_its_user_out(make_lab, cause):
    lab = make_lab(limits={"max_same_clients": 1})
    old_cookie = lab.log_in()
    connection, first = lab.tunnel(old_cookie)
    lab.hang_up(connection, cause)
    _, second = lab.tunnel(lab.log_in())
    assert second.ipv4 == first.ipv4, "the place it took is the one it gets"
    assert lab.reasons() == [CloseReason.REPLACED]
    assert len(lab.engine.leases()) == 1
    with pytest.raises(CookieError):
        lab.tunnel(old_cookie)


def test_the_session_that_roams_longest_gives_way(make_lab):
    lab = make_lab(limits={"max_same_clients": 2})
    cookies = [lab.log_in(), lab.log_in()]
    connections = [lab.tunnel(cookie)[0] for cookie in cookies]
    lab.hang_up(connections[1])
    lab.pass_time(10)
    lab.hang_up(connections[0])
    lab.tunnel(lab.log_in())
    assert lab.user_of(cookies[0]) == "alice"
    with pytest.raises(CookieError):
        lab.user_of(cookies[1])


def test_another_user_s_roaming_session_gives_no_way(make_lab):
    lab = make_lab(limits={"max_clients": 1, "max_same_clients": 1})
    connection, _ = lab.tunnel(lab.log_in("alice"))
    lab.hang_up(connection)
    with pytest.raises(RefusedError) as caught:
        lab.tunnel(lab.log_in("bob"), user="bob")
    assert caught.value.reason == "max_clients"


def test_kick_oldest_ends_a_live_session_with_its_reason(make_lab):
    lab = make_lab(limits={"max_same_clients": 1}, on_excess="kick_oldest")
    first, _ = lab.tunnel(lab.log_in())
    lab.tunnel(lab.log_in())
    assert bytes(lab.gateway.sent[first]).endswith(
        disconnect_frame("A newer login of this user took this session's place.")
    )
    assert lab.reasons() == [CloseReason.REPLACED]
    assert len(lab.engine.leases()) == 1


def test_a_user_s_own_limit_goes_before(make_lab):
    lab = make_lab(limits={"max_same_clients": 1})
    for _ in range(3):
        lab.tunnel(lab.log_in(), max_same_clients=3)
    with pytest.raises(RefusedError):
        lab.tunnel(lab.log_in(), max_same_clients=3)


def test_fixed_addresses_wait_for_the_session_that_makes_room(make_lab):
    lab = make_lab(limits={"max_same_clients": 1})
    fixed = {"ipv4": IPv4Address("192.168.99.5")}
    connection, _ = lab.tunnel(lab.log_in(**fixed), **fixed)
    lab.hang_up(connection)
    peer, cookie = lab.peer(), lab.log_in(**fixed)
    admission = lab.begin(cookie, peer, **fixed)
    assert not admission.has_room
    lab.pump()
    assert admission.has_room
    assert lab.open(admission).ipv4 == fixed["ipv4"]


def test_two_tunnels_asked_for_at_once_with_one_cookie_are_one_client(make_lab):
    lab = make_lab(limits={"max_same_clients": 1})
    cookie = lab.log_in()
    peers = [lab.peer(), lab.peer()]
    first, second = (lab.begin(cookie, peer) for peer in peers)
    lab.table.abandon_tunnel(second)
    assert len(lab.engine.leases()) == 1
    lab.open(first)
    assert len(lab.engine.leases()) == 1
    lab.live.kill(lab.live.list()[0].id, "")
    assert lab.engine.leases() == []


def start_probe(lab, cookie):
    """A login that is refused for now: its peer and what it has to wait for."""
    peer = lab.peer()
    with pytest.raises(ProbePendingError) as caught:
        lab.begin(cookie, peer)
    assert caught.value.reason == "max_same_clients"
    return peer, caught.value.probe


def enter(lab, cookie, peer, probe):
    admission = lab.begin(cookie, peer, probe=probe)
    lab.pump()
    return lab.open(admission)


@pytest.mark.parametrize("on_excess", ["deny_new", "replace_same_device"])
def test_a_dead_session_gives_way_once_it_had_time_to_answer(make_lab, on_excess):
    lab = make_lab(limits=ONE, on_excess=on_excess)
    _, first = lab.tunnel(lab.log_in())
    cookie = lab.log_in()
    peer, probe = start_probe(lab, cookie)
    assert not probe.is_decided(lab.now)
    with pytest.raises(RefusedError):
        lab.begin(cookie, peer, probe=probe)
    lab.pass_time(PROBE_TIMEOUT)
    assert enter(lab, cookie, peer, probe).ipv4 == first.ipv4
    assert lab.reasons() == [CloseReason.REPLACED]
    assert len(lab.engine.leases()) == 1


def test_a_session_that_answers_keeps_its_place(make_lab):
    lab = make_lab(limits=ONE)
    connection, _ = lab.tunnel(lab.log_in())
    [number] = lab.gateway.sessions
    cookie = lab.log_in()
    peer, probe = start_probe(lab, cookie)
    lab.gateway.answer(number)
    lab.pump()
    assert probe.is_decided(lab.now)
    lab.pass_time(PROBE_TIMEOUT)
    with pytest.raises(RefusedError) as caught:
        enter(lab, cookie, peer, probe)
    assert not isinstance(caught.value, ProbePendingError), "asked once, and not again and again"
    assert lab.gateway.sessions[number].connection_id == connection


def test_of_several_sessions_only_as_many_dead_ones_as_needed_give_way(make_lab):
    lab = make_lab(limits={"max_same_clients": 3})
    for _ in range(3):
        lab.tunnel(lab.log_in())
    first, second, _ = lab.live.list()
    cookie = lab.log_in()
    peer, probe = start_probe(lab, cookie)
    lab.gateway.answer(next(iter(lab.gateway.sessions)))
    lab.pump()
    assert not probe.is_decided(lab.now)
    lab.pass_time(PROBE_TIMEOUT)
    enter(lab, cookie, peer, probe)
    assert len(lab.engine.leases()) == 3
    assert list(lab.recorder.ended) == [second.id]
    assert first.id in lab.recorder.open


def test_a_place_that_another_login_took_meanwhile_costs_no_slow_rival_its_own(make_lab):
    lab = make_lab(limits={"max_same_clients": 2})
    connections = [lab.tunnel(lab.log_in())[0] for _ in range(2)]
    slow, quick = lab.log_in(), lab.log_in()
    peer, probe = start_probe(lab, slow)
    lab.hang_up(connections[0], Cause.PEER_RESET)  # what the probe was answered with
    assert probe.is_decided(lab.now)
    lab.tunnel(quick)
    with pytest.raises(RefusedError):
        enter(lab, slow, peer, probe)
    assert len(lab.recorder.ended) == 1


def test_two_logins_for_one_dead_session_get_one_place(make_lab):
    lab = make_lab(limits=ONE)
    lab.tunnel(lab.log_in())
    cookies = [lab.log_in(), lab.log_in()]
    asked = [start_probe(lab, cookie) for cookie in cookies]
    lab.pass_time(PROBE_TIMEOUT)
    enter(lab, cookies[0], *asked[0])
    with pytest.raises(RefusedError):
        enter(lab, cookies[1], *asked[1])
    assert len(lab.engine.leases()) == 1


@pytest.mark.parametrize(
    "why",
    [
        (Cause.PEER_CLOSED,),
        (Cause.PEER_DISCONNECT, b"\x91"),
        (Cause.PEER_DISCONNECT, b"\xb0reinitiate tunnel to negotiate a different MTU"),
    ],
    ids=["rekey", "reconnect", "another MTU"],
)
def test_a_client_that_comes_right_back_finds_its_place(make_lab, why):
    lab = make_lab(limits=ONE, session={"rekey_time": 600})
    cookie = lab.log_in()
    connection, _ = lab.tunnel(cookie, tls_version="TLSv1.2")
    lab.pass_time(600)
    lab.hang_up(connection, *why)
    other = lab.log_in()
    peer, probe = start_probe(lab, other)
    assert not probe.is_decided(lab.now)
    lab.tunnel(cookie)
    assert probe.is_decided(lab.now)
    lab.pass_time(PROBE_TIMEOUT)
    with pytest.raises(RefusedError):
        enter(lab, other, peer, probe)
    assert lab.user_of(cookie) == "alice"


def test_a_client_that_does_not_come_back_after_all_gives_way(make_lab):
    lab = make_lab(limits=ONE, session={"rekey_time": 600})
    connection, first = lab.tunnel(lab.log_in(), tls_version="TLSv1.2")
    lab.pass_time(600)
    lab.hang_up(connection)
    cookie = lab.log_in()
    peer, probe = start_probe(lab, cookie)
    lab.pass_time(PROBE_TIMEOUT)
    assert probe.is_decided(lab.now)
    assert enter(lab, cookie, peer, probe).ipv4 == first.ipv4


def test_a_burst_of_one_user_s_devices_keeps_every_login(make_lab):
    lab = make_lab(
        limits={"max_same_clients": 0, "max_clients": 200}, network={"ipv4_pool": IPv4Network("10.0.0.0/22")}
    )
    cookies = [lab.log_in() for _ in range(200)]
    for cookie in cookies:
        lab.tunnel(cookie)
    assert len(lab.live.list()) == 200


def test_in_a_full_room_the_user_with_most_logins_gives_up_the_oldest(make_lab, monkeypatch):
    monkeypatch.setattr(pending_logins, "MAX_PENDING", 4)
    lab = make_lab()
    alice = [lab.log_in() for _ in range(4)]
    alice.append(lab.log_in())  # her own fifth costs her first
    bob, carol = lab.log_in("bob"), lab.log_in("carol")
    for lost in alice[:3]:
        with pytest.raises(CookieError):
            lab.user_of(lost)
    assert [lab.user_of(cookie) for cookie in (*alice[3:], bob, carol)] == ["alice", "alice", "bob", "carol"]
    dave = lab.log_in("dave")
    with pytest.raises(RefusedError) as caught:
        lab.log_in("erin")
    assert caught.value.reason == "too_many_logins"
    lab.tunnel(dave, user="dave")
    lab.log_in("erin")
