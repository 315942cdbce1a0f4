# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions from login to their final counters: each way to begin and to end."""

import asyncio
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from types import SimpleNamespace

import pytest

from sentry_engine import Reason
from vpn_frontend.gateway.interface import Cause, GatewayError
from vpn_frontend.ports import CloseReason, Device, RemoteLogin, SessionState, Traffic, UserRecord
from vpn_frontend.protocol.connect_request import TunnelRequest
from vpn_frontend.protocol.cstp import disconnect_frame
from vpn_frontend.sessions import live_sessions
from vpn_frontend.sessions.admission import CookieError, Login, RefusedError
from vpn_frontend.settings import AuthSettings, CertificateSettings
from vpn_frontend.testing import MemoryGateway

USER_QUIT = (Cause.PEER_DISCONNECT, b"\xb0user quit")


def only_session(lab):
    [(number, session)] = lab.gateway.sessions.items()
    return number, session


def test_a_login_becomes_a_tunnel_with_addresses_and_a_lease(make_lab):
    lab = make_lab()
    connection, grant = lab.tunnel(lab.log_in())
    assert (grant.ipv4, grant.ipv6) == (IPv4Address("192.168.99.2"), IPv6Address("fd00:99::2"))
    [view] = lab.live.list()
    assert (view.user, view.state, view.transport) == ("alice", SessionState.CONNECTED, "tls")
    assert view.started_at.utcoffset().total_seconds() == 0
    assert lab.live.get(view.id) == view
    assert list(lab.recorder.open) == [view.id]
    assert [lease.session for lease in lab.engine.leases()] == [view.id]
    _, session = only_session(lab)
    assert session.connection_id == connection
    assert (session.parameters.ipv4, session.parameters.mtu, session.parameters.dpd) == (grant.ipv4, 1400, 90)
    assert bytes(lab.gateway.sent[connection]) == b"HEAD"


def test_a_session_keeps_what_the_authentication_server_sent(make_lab):
    lab = make_lab()
    remote = RemoteLogin("radius", "Alice", "0123456789abcdef", {"static_ipv4": IPv4Address("192.168.99.5")})
    user = UserRecord("alice", external=True)
    cookie = lab.table.log_in(Login(user, (), Device(), "agent", remote), lab.now)
    assert lab.table.find_session(cookie).id == "0123456789abcdef"
    _, grant = lab.tunnel(cookie, external=True)
    assert grant.ipv4 == IPv4Address("192.168.99.5")
    assert lab.live.list()[0].remote is remote


def test_no_session_is_opened_that_could_not_be_accounted_for(make_lab):
    lab = make_lab()
    cookie, gate = lab.log_in(), SimpleNamespace(refuses=True)
    lab.table._accounting = gate
    with pytest.raises(RefusedError) as refused:
        lab.tunnel(cookie)
    assert refused.value.reason == "accounting_unavailable"
    assert lab.engine.leases() == []
    gate.refuses = False
    connection, _ = lab.tunnel(cookie)
    gate.refuses = True
    lab.hang_up(connection)
    lab.tunnel(cookie)
    assert len(lab.live.list()) == 1, "a session that is open may come back"


def test_the_client_s_goodbye_ends_everything(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    connection, _ = lab.tunnel(cookie)
    number, _ = only_session(lab)
    lab.gateway.move_data(number, received=7, sent=9)
    lab.hang_up(connection, *USER_QUIT)
    assert lab.reasons() == [CloseReason.USER_DISCONNECT]
    [(view, _)] = lab.recorder.ended.values()
    assert (view.counters.rx_bytes, view.counters.tx_bytes) == (7, 9)
    assert lab.engine.leases() == []
    assert lab.gateway.close_frames[number] == b""
    with pytest.raises(CookieError):
        lab.user_of(cookie)


def test_a_login_that_opens_no_tunnel_is_forgotten(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    lab.pass_time(300)
    with pytest.raises(CookieError):
        lab.user_of(cookie)
    assert lab.recorder.ended == {}
    assert len(lab.table) == 0


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


def test_a_refused_source_gets_no_tunnel(make_lab):
    rules = [{"id": "bad", "type": "geo_filter", "remote_addr": "203.0.113.0/24", "action": "reject"}]
    lab = make_lab({"wolfsentry": {"version": "1.6.3", "rules": rules}})
    with pytest.raises(RefusedError) as caught:
        lab.tunnel(lab.log_in(), address="203.0.113.9")
    assert caught.value.reason == "rule"
    connection, _ = lab.tunnel(lab.log_in())
    lab.hang_up(connection)
    assert len(lab.live.list()) == 1


def test_an_abandoned_tunnel_gives_its_lease_back(make_lab):
    lab = make_lab(limits={"max_same_clients": 1})
    cookie = lab.log_in()
    lab.table.abandon_tunnel(lab.begin(cookie, lab.peer()))
    assert lab.engine.leases() == []
    lab.tunnel(cookie)
    assert len(lab.engine.leases()) == 1


def test_a_session_that_ends_while_a_tunnel_is_set_up_refuses_it(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    peer = lab.peer()
    admission = lab.begin(cookie, peer)
    lab.table.log_out(cookie, lab.now)
    with pytest.raises(CookieError):
        lab.open(admission)
    assert lab.engine.leases() == []


def test_the_session_s_time_counts_from_the_login(make_lab):
    lab = make_lab(session={"session_timeout": 1000})
    cookie = lab.log_in()
    lab.pass_time(200)
    connection, grant = lab.tunnel(cookie)
    assert grant.remaining == 800
    lab.pass_time(700)
    lab.hang_up(connection)
    _, grant = lab.tunnel(cookie)
    assert grant.remaining == 100
    lab.pass_time(100)
    assert lab.reasons() == [CloseReason.SESSION_TIMEOUT]
    with pytest.raises(CookieError):
        lab.tunnel(cookie)


def test_an_idle_session_ends(make_lab):
    lab = make_lab(session={"idle_timeout": 60})
    connection, _ = lab.tunnel(lab.log_in())
    number, session = only_session(lab)
    assert session.parameters.idle_timeout == 60
    lab.gateway.fall_idle(number)
    lab.pump()
    assert lab.reasons() == [CloseReason.IDLE_TIMEOUT]
    assert b"idle" in bytes(lab.gateway.sent[connection])


def test_an_operator_s_text_reaches_the_client(make_lab):
    lab = make_lab()
    connection, _ = lab.tunnel(lab.log_in())
    session_id = lab.live.list()[0].id
    assert lab.live.kill(session_id, "Maintenance")
    assert not lab.live.kill(session_id, "Maintenance")
    assert not lab.live.kill("unknown", "")
    lab.pump()
    assert bytes(lab.gateway.sent[connection]).endswith(disconnect_frame("Maintenance"))
    assert lab.reasons() == [CloseReason.KILLED]
    assert lab.live.list() == []


def test_every_session_and_login_of_a_user_can_be_ended(make_lab):
    lab = make_lab()
    lab.tunnel(lab.log_in())
    waiting = lab.log_in()
    other = lab.log_in("bob")
    assert lab.live.kill_user("alice", "Disabled") == 1
    with pytest.raises(CookieError):
        lab.user_of(waiting)
    assert lab.user_of(other) == "bob"


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
    assert [view.user for view in lab.live.affected_by(network)] == ["alice"]
    assert asyncio.run(lab.live.reassess()) == []
    lab.engine.block(network, rule_id="block:1", text="Brute force")
    assert [view.user for view in asyncio.run(lab.live.reassess())] == ["alice"]
    lab.pump()
    assert b"Your address is blocked: Brute force" in bytes(lab.gateway.sent[cut])
    assert lab.reasons() == [CloseReason.POLICY]
    assert [view.user for view in lab.live.list()] == ["bob"]
    assert asyncio.run(lab.live.reassess()) == []


def test_others_have_their_turn_while_many_are_reassessed(make_lab, monkeypatch):
    monkeypatch.setattr(live_sessions, "REASSESSED_AT_ONCE", 1)
    lab = make_lab()
    for user in ("alice", "bob", "carol"):
        lab.tunnel(lab.log_in(user), address="203.0.113.9", user=user)
    lab.engine.block("203.0.113.0/24", rule_id="block:1")
    ids = {view.user: view.id for view in lab.live.list()}

    async def reassess():
        asking = asyncio.create_task(lab.live.reassess())
        await asyncio.sleep(0)
        lab.live.kill(ids["carol"], "bye")
        return await asking

    assert [view.user for view in asyncio.run(reassess())] == ["alice", "bob"]


def test_a_passing_penalty_of_the_source_cuts_nobody_who_is_in(make_lab):
    limit = {"id": "rate", "type": "rate_limit", "remote_addr": "0.0.0.0/0", "max_connections_per_minute": 1,
             "penalty_duration_sec": 60, "action": "rate_limit"}  # fmt: skip
    lab = make_lab({"wolfsentry": {"version": "1.6.3", "rules": [limit]}})
    lab.tunnel(lab.log_in())
    for _ in range(3):
        verdict = lab.engine.decide("connect", "192.0.2.1", now=lab.now)
    assert not verdict.accepted
    assert asyncio.run(lab.live.reassess(lab.now)) == []


def spray(lab, address):
    """Fail logins of many users from ``address`` until a detector penalises it."""
    for number in range(15):
        lab.engine.decide("auth_failure", address, user=f"wrong-{number}", now=lab.now)
    assert lab.engine.explain(address, now=lab.now).verdict.reason is Reason.PASSWORD_SPRAY


def test_a_penalty_of_a_detector_cuts_nobody_who_is_in(make_lab):
    lab = make_lab()
    lab.tunnel(lab.log_in(), address="203.0.113.9")
    spray(lab, "203.0.113.9")
    lab.engine.block("198.51.100.1", rule_id="block:elsewhere")
    assert asyncio.run(lab.live.reassess(lab.now)) == []


def test_a_block_cuts_the_sessions_of_a_penalised_source(make_lab):
    lab = make_lab()
    lab.tunnel(lab.log_in(), address="203.0.113.9")
    spray(lab, "203.0.113.9")
    lab.engine.block("203.0.113.0/24", rule_id="block:1")
    assert [view.user for view in asyncio.run(lab.live.reassess(lab.now))] == ["alice"]


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


def test_no_tunnel_is_opened_that_the_journal_could_not_hear_of(make_lab):
    lab = make_lab()
    cookie, open_before = lab.log_in(), lab.log_in()
    lab.tunnel(open_before)
    lab.recorder.behind = True
    with pytest.raises(RefusedError) as caught:
        lab.tunnel(cookie)
    assert caught.value.reason == "journal_behind"
    lab.tunnel(open_before)


def test_a_gateway_that_cannot_be_told_of_an_end_is_told_again(make_lab, monkeypatch):
    lab = make_lab()
    lab.tunnel(lab.log_in())
    [view] = lab.live.list()
    refusals = ["out of memory"]

    def close_session(session, frame, told=lab.gateway.close_session):
        if refusals:
            raise GatewayError(refusals.pop())
        told(session, frame)

    monkeypatch.setattr(lab.gateway, "close_session", close_session)
    assert lab.live.kill(view.id, "bye", now=lab.now)
    assert lab.reasons() == [], "the gateway still has it"
    lab.pass_time(1)
    assert lab.reasons() == [CloseReason.KILLED]
    assert len(lab.table) == 0


@pytest.mark.parametrize("at_connect", ["same", "optional"])
def test_a_tunnel_needs_the_certificate_of_its_login(make_lab, at_connect):
    auth = AuthSettings(certificate=CertificateSettings(at_connect=at_connect))
    lab = make_lab(auth=auth)
    peers = {der: replace(lab.peer(), peer_certificate=der) for der in (b"", b"OWN", b"ANOTHER")}
    user, digest = UserRecord("alice"), peers[b"OWN"].certificate_digest
    cookie = lab.table.log_in(Login(user, (), Device(), "agent", certificate_digest=digest), lab.now)
    refused = [b"ANOTHER"] if at_connect == "optional" else [b"ANOTHER", b""]
    for der, peer in peers.items():
        if der in refused:
            with pytest.raises(CookieError, match="another_certificate"):
                lab.begin(cookie, peer)
        else:
            lab.table.abandon_tunnel(lab.begin(cookie, peer))
    assert lab.user_of(cookie) == "alice", "a wrong certificate does not end the session of its owner"


def test_a_login_without_a_certificate_binds_to_none(make_lab):
    lab = make_lab()
    lab.begin(lab.log_in(), replace(lab.peer(), peer_certificate=b"ANY"))


@pytest.mark.parametrize("deny", [False, True])
def test_a_session_may_be_bound_to_the_address_of_its_login(make_lab, deny):
    lab = make_lab(session={"deny_roaming": deny})
    login = Login(UserRecord("alice"), (), Device(), "agent", address=IPv4Address("192.0.2.1"))
    cookie = lab.table.log_in(login, lab.now)
    lab.tunnel(cookie, address="192.0.2.1")
    if deny:
        with pytest.raises(CookieError, match="another_address"):
            lab.tunnel(cookie, address="192.0.2.9")
    else:
        lab.tunnel(cookie, address="192.0.2.9")
    assert [str(view.address) for view in lab.live.list()] == ["192.0.2.1" if deny else "192.0.2.9"]


def test_a_client_gets_the_host_name_of_its_user_or_keeps_its_own(make_lab):
    lab = make_lab()
    _, grant = lab.tunnel(lab.log_in(), request=TunnelRequest(hostname="laptop"))
    assert grant.hostname == "laptop"
    lab.tunnel(lab.log_in("bob", overrides={"hostname": "desk-7"}), user="bob", overrides={"hostname": "desk-7"})
    assert [view.hostname for view in lab.live.list()] == ["laptop", "desk-7"]


def test_a_rekey_by_a_new_tunnel_keeps_the_session_for_its_client(make_lab):
    lab = make_lab(session={"rekey_time": 60, "rekey_method": "new-tunnel"}, limits={"max_same_clients": 1})
    connection, _ = lab.tunnel(lab.log_in())
    lab.pass_time(60)
    lab.hang_up(connection)
    with pytest.raises(RefusedError):
        lab.tunnel(lab.log_in())


def test_traffic_is_what_the_gateway_has_counted_so_far(make_lab):
    lab = make_lab()
    assert lab.live.traffic() == Traffic(0, 0, 0)
    for _ in range(2):
        lab.tunnel(lab.log_in())
    first, second = sorted(lab.gateway.sessions)
    lab.gateway.move_data(first, received=5, sent=3)
    lab.gateway.move_data(second, received=2)
    assert lab.live.traffic() == Traffic(2, 7, 3)
    lab.live.kill(lab.live.list()[0].id, "bye", now=lab.now)
    lab.pump()
    assert lab.live.traffic() == Traffic(1, 7, 3)
