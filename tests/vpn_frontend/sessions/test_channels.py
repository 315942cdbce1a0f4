# SPDX-License-Identifier: GPL-3.0-or-later
"""One session over many channels: roaming, reconnects with another MTU, datagrams."""

import asyncio
from ipaddress import ip_network

import pytest

from vpn_frontend.gateway.interface import Cause
from vpn_frontend.ports import CloseReason, SessionState
from vpn_frontend.protocol.connect_request import TunnelRequest
from vpn_frontend.sessions.admission import CookieError

USER_QUIT = (Cause.PEER_DISCONNECT, b"\xb0user quit")


PSK = TunnelRequest(dtls_suites=("PSK-NEGOTIATE",))


def only_session(lab):
    [(number, session)] = lab.gateway.sessions.items()
    return number, session


@pytest.mark.parametrize(
    ("cause", "close_message"),
    [
        (Cause.PEER_CLOSED, b""),
        (Cause.PEER_RESET, b""),
        (Cause.DPD, b""),
        (Cause.STALLED, b""),
        (Cause.PEER_DISCONNECT, b"\x91"),
        (Cause.PEER_DISCONNECT, b"\xd1"),
        (Cause.PEER_DISCONNECT, b"\xb0reinitiate tunnel to negotiate a different MTU"),
    ],
)
def test_a_broken_connection_roams_and_comes_back_as_the_same_client(make_lab, cause, close_message):
    lab = make_lab(limits={"max_same_clients": 1})
    cookie = lab.log_in()
    connection, first = lab.tunnel(cookie)
    session_id = lab.live.list()[0].id
    lab.hang_up(connection, cause, close_message)
    assert lab.live.list()[0].state is SessionState.ROAMING
    lab.pass_time(299)
    new_link, again = lab.tunnel(cookie, address="198.51.100.7")
    assert (again.ipv4, again.ipv6) == (first.ipv4, first.ipv6)
    [view] = lab.live.list()
    assert (view.id, view.state, str(view.address)) == (session_id, SessionState.CONNECTED, "198.51.100.7")
    assert len(lab.engine.leases()) == 1
    assert len(lab.recorder.open) == 1
    assert only_session(lab)[1].connection_id == new_link


def test_a_new_channel_replaces_a_live_one(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    old, _ = lab.tunnel(cookie)
    new, _ = lab.tunnel(cookie)
    assert old not in lab.gateway.connections
    assert only_session(lab)[1].connection_id == new
    lab.pass_time(1000)
    assert len(lab.live.list()) == 1


def test_a_late_report_about_a_connection_left_behind_changes_nothing(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    old, _ = lab.tunnel(cookie)
    lab.gateway.hang_up(old, *USER_QUIT)  # on its way while the new connection takes over
    peer = lab.peer()
    admission = lab.begin(cookie, peer)
    lab.open(admission)
    lab.pump()
    assert lab.live.list()[0].state is SessionState.CONNECTED


def test_a_roaming_session_ends_when_its_cookie_does(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    connection, _ = lab.tunnel(cookie)
    lab.pass_time(5000)
    assert len(lab.live.list()) == 1, "a cookie lives while its session is connected"
    lab.hang_up(connection)
    lab.pass_time(300)
    assert lab.reasons() == [CloseReason.CONNECTION_LOST]
    assert lab.engine.leases() == []
    with pytest.raises(CookieError):
        lab.tunnel(cookie)


def test_a_connection_that_dies_while_it_becomes_the_channel_leaves_a_roaming_session(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    peer = lab.peer()
    admission = lab.begin(cookie, peer)
    lab.open(admission, meanwhile=lambda: lab.gateway.hang_up(peer.connection_id))
    lab.pump()
    assert lab.live.list()[0].state is SessionState.ROAMING
    lab.pass_time(300)
    assert lab.reasons() == [CloseReason.CONNECTION_LOST]
    assert lab.engine.leases() == []


@pytest.mark.parametrize(
    ("request_", "has"),
    [
        (TunnelRequest(wants_ipv6=False), (True, False)),
        (TunnelRequest(wants_ipv4=False), (False, True)),
        (TunnelRequest(base_mtu=1300), (True, False)),
        (TunnelRequest(mobile=True), (True, True)),
    ],
)
def test_a_tunnel_has_the_families_that_it_can_carry(make_lab, request_, has):
    lab = make_lab()
    _, grant = lab.tunnel(lab.log_in(), request=request_)
    assert (grant.ipv4 is not None, grant.ipv6 is not None) == has
    assert grant.dpd == (1800 if request_.mobile else 90)


def test_a_reconnect_over_another_path_changes_the_mtu_both_ways(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    _, first = lab.tunnel(cookie, request=TunnelRequest(base_mtu=1500))
    _, session = only_session(lab)
    assert (first.mtu, session.mtu) == (1400, 1400)
    _, second = lab.tunnel(cookie, request=TunnelRequest(base_mtu=1400))
    assert (second.mtu, session.mtu) == (1334, 1334)
    _, third = lab.tunnel(cookie, request=TunnelRequest(base_mtu=1500))
    assert (third.mtu, session.mtu) == (1400, 1400)


def test_datagrams_are_expected_anew_with_each_channel(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    connection, first = lab.tunnel(cookie, request=PSK)
    number, session = only_session(lab)
    assert session.dtls == first.dtls
    lab.gateway.send_datagrams(number, "PSK-AES256-GCM-SHA384")
    lab.pump()
    [view] = lab.live.list()
    assert (view.transport, view.dtls_cipher) == ("dtls", "PSK-AES256-GCM-SHA384")
    lab.hang_up(connection)
    assert lab.live.list()[0].transport == "none"
    _, second = lab.tunnel(cookie, request=PSK)
    assert second.dtls.app_id != first.dtls.app_id
    assert session.dtls == second.dtls
    assert lab.live.list()[0].transport == "tls"
    lab.tunnel(cookie)
    assert session.dtls is None


def test_datagrams_that_stop_end_no_session(make_lab):
    lab = make_lab()
    lab.tunnel(lab.log_in(), request=PSK)
    number, _ = only_session(lab)
    lab.gateway.send_datagrams(number)
    lab.gateway.lose_datagrams(number)
    lab.gateway.lose_datagrams(number)
    lab.pump()
    [view] = lab.live.list()
    assert (view.transport, view.state) == ("tls", SessionState.CONNECTED)
    assert len(lab.events.of("dtls_down")) == 1


def test_datagrams_switched_off_are_never_offered(make_lab):
    lab = make_lab(dtls=False)
    assert lab.tunnel(lab.log_in(), request=PSK)[1].dtls is None


def test_a_block_of_the_network_that_datagrams_come_from_cuts_too(make_lab):
    lab = make_lab()
    lab.tunnel(lab.log_in(), request=PSK)
    number, _ = only_session(lab)
    lab.gateway.send_datagrams(number, address="203.0.113.9")
    lab.pump()
    network = ip_network("203.0.113.0/24")
    assert len(lab.live.affected_by(network)) == 1
    lab.engine.block(network, rule_id="block:1")
    assert len(asyncio.run(lab.live.reassess())) == 1
