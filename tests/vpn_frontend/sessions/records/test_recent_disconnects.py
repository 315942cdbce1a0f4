# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that disconnected by itself may come back for a short while, one that was terminated may not."""

import gc

import pytest

from vpn_frontend.gateway.interface import Cause
from vpn_frontend.ports import CloseReason
from vpn_frontend.protocol.connect_request import TunnelRequest
from vpn_frontend.sessions.admission import CookieError, RefusedError
from vpn_frontend.sessions.cookies import digest_of
from vpn_frontend.sessions.records import recent_disconnects
from vpn_frontend.sessions.session import Session

USER_QUIT = (Cause.PEER_DISCONNECT, b"\xb0user quit")


def come_back(lab, cookie):
    """CONNECT with the cookie of a session that has ended. Returns what was granted."""
    peer = lab.peer("192.0.2.77")
    session = lab.table.find_returning(cookie, lab.now)
    admission = lab.table.begin_tunnel(session, session.user, peer, TunnelRequest(), lab.now)
    grant = lab.open(admission)
    lab.pump()
    return grant


def test_a_client_that_said_goodbye_gets_its_address_again(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    connection, first = lab.tunnel(cookie)
    [before] = lab.live.list()
    lab.hang_up(connection, *USER_QUIT)
    assert lab.reasons() == [CloseReason.USER_DISCONNECT]
    assert (len(lab.table), lab.engine.leases()) == (0, [])
    lab.pass_time(10)
    assert come_back(lab, cookie).ipv4 == first.ipv4
    [view] = lab.live.list()
    assert view.logged_in_at == before.logged_in_at
    assert view.number not in (0, before.number)
    assert view.id not in lab.recorder.ended
    assert list(lab.recorder.open) == [view.id]
    assert lab.user_of(cookie) == "alice"


@pytest.mark.parametrize("grace", [0, 15])
def test_its_time_is_short(make_lab, grace):
    lab = make_lab(session={"disconnect_grace": grace})
    cookie = lab.log_in()
    lab.hang_up(lab.tunnel(cookie)[0], *USER_QUIT)
    lab.pass_time(grace)
    with pytest.raises(CookieError):
        lab.table.find_returning(cookie, lab.now)


def test_it_is_not_prolonged_by_the_session_timeout(make_lab):
    lab = make_lab(session={"session_timeout": 60, "disconnect_grace": 300})
    cookie = lab.log_in()
    lab.hang_up(lab.tunnel(cookie)[0], *USER_QUIT)
    lab.pass_time(61)
    session = lab.table.find_returning(cookie, lab.now)
    with pytest.raises(CookieError):
        lab.table.begin_tunnel(session, session.user, lab.peer(), TunnelRequest(), lab.now)


def test_a_terminated_session_does_not_come_back(make_lab):
    lab = make_lab()
    killed, forgotten = lab.log_in(), lab.log_in("bob")
    lab.tunnel(killed)
    lab.live.kill(lab.live.list()[0].id, "Bye.", now=lab.now)
    lab.pump()
    lab.hang_up(lab.tunnel(forgotten, user="bob")[0], *USER_QUIT)
    lab.live.kill_user("bob", "Bye.", now=lab.now)
    for cookie in (killed, forgotten):
        with pytest.raises(CookieError):
            lab.table.find_returning(cookie, lab.now)


def test_a_logout_ends_it(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    lab.hang_up(lab.tunnel(cookie)[0], *USER_QUIT)
    lab.table.log_out(cookie, lab.now)
    with pytest.raises(CookieError):
        lab.table.find_returning(cookie, lab.now)


def test_it_takes_a_place_as_any_other(make_lab):
    lab = make_lab(limits={"max_same_clients": 1})
    cookie = lab.log_in()
    lab.hang_up(lab.tunnel(cookie)[0], *USER_QUIT)
    lab.tunnel(lab.log_in())
    session = lab.table.find_returning(cookie, lab.now)
    with pytest.raises(RefusedError, match=r".+"):
        lab.table.begin_tunnel(session, session.user, lab.peer(), TunnelRequest(), lab.now)


def test_it_leaves_neither_session_nor_keys_of_its_connection(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    lab.hang_up(lab.tunnel(cookie)[0], *USER_QUIT)
    assert lab.table.knows_cookie(cookie)
    gc.collect()
    digest = digest_of(cookie)
    assert not [found for found in gc.get_objects() if isinstance(found, Session) and found.digest == digest]


def test_the_table_is_bounded(make_lab, monkeypatch):
    monkeypatch.setattr(recent_disconnects, "MAX_DISCONNECTED", 2)
    lab = make_lab(limits={"max_same_clients": 3})
    cookies = [lab.log_in() for _ in range(3)]
    for connection in [lab.tunnel(cookie)[0] for cookie in cookies]:
        lab.hang_up(connection, *USER_QUIT)
    assert [lab.table.knows_cookie(cookie) for cookie in cookies] == [False, True, True]
    lab.pass_time(15)
    lab.table.expire(lab.now)
    assert not any(lab.table.knows_cookie(cookie) for cookie in cookies)
