# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of a former process in a new table: what lives on, and what may not."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from sentry_engine import ClientLimits
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import CloseReason, UserRecord
from vpn_frontend.sessions.admission import CookieError

COUNTERS = Counters(rx_packets=3, rx_bytes=300, tx_packets=4, tx_bytes=400)


@pytest.fixture
def former(make_lab):
    """A lab with one open session, its cookie, and what was kept of it."""
    lab = make_lab()
    cookie = lab.log_in()
    lab.tunnel(cookie)
    (session_id,) = lab.recorder.open
    return cookie, lab.recorder.kept(session_id)


def restore(lab, saved, user=None, *, after=1.0):
    lab.recorder.open[saved.id] = None  # the journal has it
    return lab.table.restorer.restore(
        saved, user or UserRecord("alice", ""), COUNTERS, lost_at=lab.now, now=lab.now + after
    )


def test_it_roams_with_its_address_and_goes_on_counting(make_lab, former):
    cookie, saved = former
    lab = make_lab()
    assert restore(lab, saved)
    session = lab.table.find_session(cookie)
    assert session.roaming
    assert session.addresses == saved.addresses
    (gateway_session,) = lab.gateway.sessions.values()
    assert gateway_session.parameters.counters == COUNTERS
    assert [lease.user for lease in lab.engine.leases()] == ["alice"]
    connection, grant = lab.tunnel(cookie)
    assert grant.ipv4 == saved.addresses.ipv4
    assert session.connection_id == connection
    assert "session_roamed" in [kind for kind, _ in lab.events.seen]
    assert "session_opened" not in [kind for kind, _ in lab.events.seen]


def test_its_address_is_given_to_no_other(make_lab, former):
    _, saved = former
    lab = make_lab()
    assert restore(lab, saved)
    _, grant = lab.tunnel(lab.log_in("bob"), user="bob")
    assert grant.ipv4 != saved.addresses.ipv4


def test_it_ends_if_its_client_stays_away(make_lab, former):
    cookie, saved = former
    lab = make_lab()
    assert restore(lab, saved)
    lab.now = lab.table.find_session(cookie).expires_at
    lab.table.expire(lab.now)
    lab.pump()
    view, reason = lab.recorder.ended[saved.id]
    assert (reason, view.counters.rx_bytes) == (CloseReason.CONNECTION_LOST, 300)
    assert lab.engine.leases() == []


@pytest.mark.parametrize(
    ("user", "after", "reason"),
    [
        (CloseReason.EXPIRED, 1.0, CloseReason.EXPIRED),
        (None, 1e6, CloseReason.CONNECTION_LOST),
    ],
)
def test_it_ends_at_once_with_its_counters(make_lab, former, user, after, reason):
    cookie, saved = former
    lab = make_lab()
    assert not restore(lab, saved, user, after=after)
    view, found = lab.recorder.ended[saved.id]
    assert (found, view.counters) == (reason, COUNTERS)
    assert lab.engine.leases() == []
    assert lab.gateway.sessions == {}
    with pytest.raises(CookieError):
        lab.table.find_session(cookie)


def test_a_block_that_came_meanwhile_ends_it(make_lab, former):
    _, saved = former
    lab = make_lab()
    lab.engine.block(ip_network("192.0.2.0/24"), rule_id="b1")
    assert not restore(lab, saved)
    assert lab.recorder.ended[saved.id][1] is CloseReason.POLICY


def test_a_smaller_limit_counts_restored_sessions(make_lab):
    lab = make_lab()
    for _ in range(2):
        lab.tunnel(lab.log_in())
    kept = [lab.recorder.kept(session_id) for session_id in lab.recorder.open]
    again = make_lab()
    again.engine.set_limits(ClientLimits(100, 1, "deny_new"))
    assert [restore(again, saved) for saved in kept] == [True, False]
    assert again.recorder.ended[kept[1].id][1] is CloseReason.POLICY
    assert again.table.live.list()[0].id == kept[0].id


def test_an_address_outside_the_pools_of_today_is_not_given_back(make_lab, former):
    _, saved = former
    lab = make_lab()
    saved.addresses = type(saved.addresses)(ip_network("10.9.9.0/24")[5], None)
    assert not restore(lab, saved)
    assert lab.recorder.ended[saved.id][1] is CloseReason.FAILED


def test_a_session_is_restored_once(make_lab, former):
    _, saved = former
    lab = make_lab()
    assert restore(lab, saved)
    with pytest.raises(ValueError, match="is there"):
        restore(lab, saved)
