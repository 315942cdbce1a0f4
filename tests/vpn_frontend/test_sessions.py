# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions from login to their last packet: each way in, each way out, and who gives way to whom."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from vpn_frontend import sessions
from vpn_frontend.admission import CookieError, RefusedError
from vpn_frontend.cstp import disconnect_frame
from vpn_frontend.gateway import Cause
from vpn_frontend.ports import CloseReason, SessionState
from vpn_frontend.testing import MemoryGateway
from vpn_frontend.tunnel_request import TunnelRequest

USER_QUIT = (Cause.PEER_DISCONNECT, b"\xb0user quit")


def only_session(lab):
    [(number, session)] = lab.gateway.sessions.items()
    return number, session


def test_a_login_becomes_a_tunnel_with_addresses_and_a_lease(make_lab):
    lab = make_lab()
    link, grant = lab.tunnel(lab.log_in())
    assert (grant.ipv4, grant.ipv6) == (IPv4Address("192.168.99.2"), IPv6Address("fd00:99::2"))
    [view] = lab.table.list()
    assert (view.user, view.state, view.transport) == ("alice", SessionState.CONNECTED, "tls")
    assert view.started_at.utcoffset().total_seconds() == 0
    assert lab.table.get(view.id) == view
    assert list(lab.recorder.open) == [view.id]
    assert [lease.session for lease in lab.engine.leases()] == [view.id]
    _, session = only_session(lab)
    assert session.link == link
    assert (session.parameters.ipv4, session.parameters.mtu, session.parameters.dpd) == (grant.ipv4, 1400, 90)
    assert bytes(lab.gateway.sent[link]) == b"HEAD"


def test_the_client_s_goodbye_ends_everything(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    link, _ = lab.tunnel(cookie)
    number, _ = only_session(lab)
    lab.gateway.move_data(number, received=7, sent=9)
    lab.hang_up(link, *USER_QUIT)
    assert lab.reasons() == [CloseReason.USER_DISCONNECT]
    [(view, _)] = lab.recorder.ended.values()
    assert (view.counters.rx_bytes, view.counters.tx_bytes) == (7, 9)
    assert lab.engine.leases() == []
    assert lab.gateway.farewells[number] == b""
    with pytest.raises(CookieError):
        lab.table.user_of(cookie)


@pytest.mark.parametrize(
    ("cause", "farewell"),
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
def test_a_broken_link_roams_and_comes_back_as_the_same_client(make_lab, cause, farewell):
    lab = make_lab(limits={"max_same_clients": 1})
    cookie = lab.log_in()
    link, first = lab.tunnel(cookie)
    session_id = lab.table.list()[0].id
    lab.hang_up(link, cause, farewell)
    assert lab.table.list()[0].state is SessionState.ROAMING
    lab.pass_time(299)
    new_link, again = lab.tunnel(cookie, address="198.51.100.7")
    assert (again.ipv4, again.ipv6) == (first.ipv4, first.ipv6)
    [view] = lab.table.list()
    assert (view.id, view.state, str(view.address)) == (session_id, SessionState.CONNECTED, "198.51.100.7")
    assert len(lab.engine.leases()) == 1
    assert len(lab.recorder.open) == 1
    assert only_session(lab)[1].link == new_link


def test_a_new_channel_replaces_a_live_one(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    old, _ = lab.tunnel(cookie)
    new, _ = lab.tunnel(cookie)
    assert old not in lab.gateway.links
    assert only_session(lab)[1].link == new
    lab.pass_time(1000)
    assert len(lab.table.list()) == 1


def test_a_late_report_about_a_link_left_behind_changes_nothing(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    old, _ = lab.tunnel(cookie)
    lab.gateway.hang_up(old, *USER_QUIT)  # on its way while the new link takes over
    peer = lab.peer()
    admission = lab.admit(cookie, peer)
    grant = lab.table.establish(admission, peer, TunnelRequest(), lab.now)
    lab.table.attach(admission, peer, TunnelRequest(), grant, b"", b"")
    lab.pump()
    assert lab.table.list()[0].state is SessionState.CONNECTED


def test_a_roaming_session_ends_when_its_cookie_does(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    link, _ = lab.tunnel(cookie)
    lab.pass_time(5000)
    assert len(lab.table.list()) == 1, "a cookie lives while its session is connected"
    lab.hang_up(link)
    lab.pass_time(300)
    assert lab.reasons() == [CloseReason.CONNECTION_LOST]
    assert lab.engine.leases() == []
    with pytest.raises(CookieError):
        lab.tunnel(cookie)


def test_a_login_that_opens_no_tunnel_is_forgotten(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    lab.pass_time(300)
    with pytest.raises(CookieError):
        lab.table.user_of(cookie)
    assert lab.recorder.ended == {}
    assert len(lab.table) == 0


def test_a_link_that_dies_while_it_becomes_the_channel_leaves_a_roaming_session(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    peer = lab.peer()
    admission = lab.admit(cookie, peer)
    grant = lab.table.establish(admission, peer, TunnelRequest(), lab.now)
    lab.gateway.hang_up(peer.link)
    lab.table.attach(admission, peer, TunnelRequest(), grant, b"", b"")
    lab.pump()
    assert lab.table.list()[0].state is SessionState.ROAMING
    lab.pass_time(300)
    assert lab.reasons() == [CloseReason.CONNECTION_LOST]
    assert lab.engine.leases() == []


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
    link, first = lab.tunnel(old_cookie)
    lab.hang_up(link, cause)
    _, second = lab.tunnel(lab.log_in())
    assert second.ipv4 == first.ipv4, "the place it took is the one it gets"
    assert lab.reasons() == [CloseReason.REPLACED]
    assert len(lab.engine.leases()) == 1
    with pytest.raises(CookieError):
        lab.tunnel(old_cookie)


def test_the_session_that_roams_longest_gives_way(make_lab):
    lab = make_lab(limits={"max_same_clients": 2})
    cookies = [lab.log_in(), lab.log_in()]
    links = [lab.tunnel(cookie)[0] for cookie in cookies]
    lab.hang_up(links[1])
    lab.pass_time(10)
    lab.hang_up(links[0])
    lab.tunnel(lab.log_in())
    assert lab.table.user_of(cookies[0]) == "alice"
    with pytest.raises(CookieError):
        lab.table.user_of(cookies[1])


def test_another_user_s_roaming_session_gives_no_way(make_lab):
    lab = make_lab(limits={"max_clients": 1, "max_same_clients": 1})
    link, _ = lab.tunnel(lab.log_in("alice"))
    lab.hang_up(link)
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


def test_a_full_pool_refuses_and_holds_nothing(make_lab):
    lab = make_lab(network={"ipv6_pool": None}, limits={"max_same_clients": 0})
    for _ in range(5):
        lab.tunnel(lab.log_in())
    with pytest.raises(RefusedError) as caught:
        lab.tunnel(lab.log_in())
    assert caught.value.reason == "no_address"
    assert len(lab.engine.leases()) == 5
    assert len(lab.gateway.sessions) == 5


def test_a_full_gateway_refuses_and_holds_nothing(make_lab):
    lab = make_lab(gateway=MemoryGateway(max_sessions=0))
    with pytest.raises(RefusedError) as caught:
        lab.tunnel(lab.log_in())
    assert caught.value.reason == "gateway_full"
    assert lab.engine.leases() == []
    lab.gateway._max_sessions = 1
    assert lab.tunnel(lab.log_in())[1].ipv4 == IPv4Address("192.168.99.2")


def test_fixed_addresses_wait_for_the_session_that_makes_room(make_lab):
    lab = make_lab(limits={"max_same_clients": 1})
    fixed = {"ipv4": IPv4Address("192.168.99.5")}
    link, _ = lab.tunnel(lab.log_in(**fixed), **fixed)
    lab.hang_up(link)
    peer, cookie = lab.peer(), lab.log_in(**fixed)
    admission = lab.admit(cookie, peer, **fixed)
    assert not lab.table.settled(admission)
    lab.pump()
    assert lab.table.settled(admission)
    assert lab.table.establish(admission, peer, TunnelRequest(), lab.now).ipv4 == fixed["ipv4"]


def test_a_refused_source_gets_no_tunnel(make_lab):
    rules = [{"id": "bad", "type": "geo_filter", "remote_addr": "203.0.113.0/24", "action": "reject"}]
    lab = make_lab({"wolfsentry": {"version": "1.6.3", "rules": rules}})
    with pytest.raises(RefusedError) as caught:
        lab.tunnel(lab.log_in(), address="203.0.113.9")
    assert caught.value.reason == "rule"
    link, _ = lab.tunnel(lab.log_in())
    lab.hang_up(link)
    assert len(lab.table.list()) == 1


def test_an_abandoned_tunnel_gives_its_lease_back(make_lab):
    lab = make_lab(limits={"max_same_clients": 1})
    cookie = lab.log_in()
    lab.table.abandon(lab.admit(cookie, lab.peer()))
    assert lab.engine.leases() == []
    lab.tunnel(cookie)
    assert len(lab.engine.leases()) == 1


def test_two_tunnels_asked_for_at_once_with_one_cookie_are_one_client(make_lab):
    lab = make_lab(limits={"max_same_clients": 1})
    cookie = lab.log_in()
    peers = [lab.peer(), lab.peer()]
    first, second = (lab.admit(cookie, peer) for peer in peers)
    lab.table.abandon(second)
    assert len(lab.engine.leases()) == 1
    grant = lab.table.establish(first, peers[0], TunnelRequest(), lab.now)
    lab.table.attach(first, peers[0], TunnelRequest(), grant, b"", b"")
    assert len(lab.engine.leases()) == 1
    lab.table.kill(lab.table.list()[0].id, "")
    assert lab.engine.leases() == []


def test_a_session_that_ends_while_a_tunnel_is_set_up_refuses_it(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    peer = lab.peer()
    admission = lab.admit(cookie, peer)
    lab.table.log_out(cookie, lab.now)
    with pytest.raises(CookieError):
        lab.table.establish(admission, peer, TunnelRequest(), lab.now)
    assert lab.engine.leases() == []


def test_the_session_s_time_counts_from_the_login(make_lab):
    lab = make_lab(session={"session_timeout": 1000})
    cookie = lab.log_in()
    lab.pass_time(200)
    link, grant = lab.tunnel(cookie)
    assert grant.remaining == 800
    lab.pass_time(700)
    lab.hang_up(link)
    _, grant = lab.tunnel(cookie)
    assert grant.remaining == 100
    lab.pass_time(100)
    assert lab.reasons() == [CloseReason.SESSION_TIMEOUT]
    with pytest.raises(CookieError):
        lab.tunnel(cookie)


def test_an_idle_session_ends(make_lab):
    lab = make_lab(session={"idle_timeout": 60})
    link, _ = lab.tunnel(lab.log_in())
    number, session = only_session(lab)
    assert session.parameters.idle_timeout == 60
    lab.gateway.fall_idle(number)
    lab.pump()
    assert lab.reasons() == [CloseReason.IDLE_TIMEOUT]
    assert b"idle" in bytes(lab.gateway.sent[link])


def test_an_operator_s_text_reaches_the_client(make_lab):
    lab = make_lab()
    link, _ = lab.tunnel(lab.log_in())
    session_id = lab.table.list()[0].id
    assert lab.table.kill(session_id, "Maintenance")
    assert not lab.table.kill(session_id, "Maintenance")
    assert not lab.table.kill("unknown", "")
    lab.pump()
    assert bytes(lab.gateway.sent[link]).endswith(disconnect_frame("Maintenance"))
    assert lab.reasons() == [CloseReason.KILLED]
    assert lab.table.list() == []


def test_every_session_and_login_of_a_user_can_be_ended(make_lab):
    lab = make_lab()
    lab.tunnel(lab.log_in())
    waiting = lab.log_in()
    other = lab.log_in("bob")
    assert lab.table.kill_user("alice", "Disabled") == 1
    with pytest.raises(CookieError):
        lab.table.user_of(waiting)
    assert lab.table.user_of(other) == "bob"


def test_logging_out_ends_the_tunnel(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    lab.tunnel(cookie)
    lab.table.log_out(cookie, lab.now)
    lab.table.log_out(cookie, lab.now)
    lab.pump()
    assert lab.reasons() == [CloseReason.LOGOUT]


def test_a_block_cuts_the_sessions_it_covers(make_lab):
    lab = make_lab()
    cut, _ = lab.tunnel(lab.log_in(), address="203.0.113.9")
    lab.tunnel(lab.log_in("bob"), address="192.0.2.1", user="bob")
    network = ip_network("203.0.113.0/24")
    assert [view.user for view in lab.table.affected_by(network)] == ["alice"]
    assert lab.table.reassess() == []
    lab.engine.block(network, rule_id="block:1", text="Brute force")
    assert [view.user for view in lab.table.reassess()] == ["alice"]
    lab.pump()
    assert b"Your address is blocked: Brute force" in bytes(lab.gateway.sent[cut])
    assert lab.reasons() == [CloseReason.POLICY]
    assert [view.user for view in lab.table.list()] == ["bob"]
    assert lab.table.reassess() == []


def test_a_passing_penalty_of_the_source_cuts_nobody_who_is_in(make_lab):
    limit = {"id": "rate", "type": "rate_limit", "remote_addr": "0.0.0.0/0", "max_connections_per_minute": 1,
             "penalty_duration_sec": 60, "action": "rate_limit"}  # fmt: skip
    lab = make_lab({"wolfsentry": {"version": "1.6.3", "rules": [limit]}})
    lab.tunnel(lab.log_in())
    for _ in range(3):
        verdict = lab.engine.decide("connect", "192.0.2.1", now=lab.now)
    assert not verdict.accepted
    assert lab.table.reassess(lab.now) == []


def test_shutdown_says_goodbye_to_all(make_lab):
    lab = make_lab()
    first, _ = lab.tunnel(lab.log_in())
    roaming, _ = lab.tunnel(lab.log_in("bob"), user="bob")
    lab.hang_up(roaming)
    lab.log_in()
    lab.table.shut_down("Going down", lab.now)
    assert len(lab.table) == 2
    lab.pump()
    assert len(lab.table) == 0
    assert lab.reasons() == [CloseReason.SHUTDOWN] * 2
    assert bytes(lab.gateway.sent[first]).endswith(disconnect_frame("Going down"))
    assert lab.engine.leases() == []


def test_what_a_gateway_that_died_owes_is_accounted_for(make_lab):
    lab = make_lab()
    lab.tunnel(lab.log_in())
    lab.tunnel(lab.log_in("bob"), user="bob")
    lab.table.shut_down("", lab.now)
    lab.table.abandon_gateway(lab.now)
    assert lab.reasons() == [CloseReason.SHUTDOWN] * 2
    lab.pump()
    assert len(lab.recorder.ended) == 2


def test_a_session_that_the_gateway_gave_up_is_closed_as_failed(make_lab):
    lab = make_lab()
    lab.tunnel(lab.log_in())
    number, _ = only_session(lab)
    lab.gateway.close_session(number, b"")
    lab.pump()
    assert lab.reasons() == [CloseReason.FAILED]
    assert lab.engine.leases() == []


def test_logins_without_a_tunnel_are_bounded(make_lab, monkeypatch):
    monkeypatch.setattr(sessions, "MAX_WAITING_PER_USER", 2)
    monkeypatch.setattr(sessions, "MAX_WAITING", 3)
    lab = make_lab()
    cookies = [lab.log_in() for _ in range(3)]
    with pytest.raises(CookieError):
        lab.table.user_of(cookies[0])
    assert [lab.table.user_of(cookie) for cookie in cookies[1:]] == ["alice"] * 2
    lab.log_in("bob")
    with pytest.raises(RefusedError):
        lab.log_in("carol")
    lab.tunnel(cookies[1])
    lab.log_in("carol")


def test_no_tunnel_is_opened_that_the_journal_could_not_hear_of(make_lab):
    lab = make_lab()
    cookie, open_before = lab.log_in(), lab.log_in()
    lab.tunnel(open_before)
    lab.recorder.behind = True
    with pytest.raises(RefusedError) as caught:
        lab.tunnel(cookie)
    assert caught.value.reason == "journal_behind"
    lab.tunnel(open_before)


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


def test_a_reconnect_with_a_smaller_path_is_told_the_smaller_mtu(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    _, first = lab.tunnel(cookie, request=TunnelRequest(base_mtu=1500))
    _, second = lab.tunnel(cookie, request=replace(TunnelRequest(), base_mtu=1400))
    assert (first.mtu, second.mtu) == (1400, 1334)


PSK = TunnelRequest(dtls_psk=True)


def test_datagrams_are_expected_anew_with_each_channel(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    link, first = lab.tunnel(cookie, request=PSK)
    number, session = only_session(lab)
    assert session.dtls == first.dtls
    lab.gateway.send_datagrams(number, "PSK-AES256-GCM-SHA384")
    lab.pump()
    [view] = lab.table.list()
    assert (view.transport, view.dtls_cipher) == ("dtls", "PSK-AES256-GCM-SHA384")
    lab.hang_up(link)
    assert lab.table.list()[0].transport == "none"
    _, second = lab.tunnel(cookie, request=PSK)
    assert second.dtls.app_id != first.dtls.app_id
    assert session.dtls == second.dtls
    assert lab.table.list()[0].transport == "tls"
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
    [view] = lab.table.list()
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
    assert len(lab.table.affected_by(network)) == 1
    lab.engine.block(network, rule_id="block:1")
    assert len(lab.table.reassess()) == 1
