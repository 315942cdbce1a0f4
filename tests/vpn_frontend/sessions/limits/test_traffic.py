# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway is told to enforce, and what a used-up quota does."""

from __future__ import annotations

import datetime as dt
from ipaddress import ip_address, ip_network

import pytest

from vpn_frontend.gateway.limits import IpProtocol, PortRange, Restriction
from vpn_frontend.ports import CloseReason, Usage
from vpn_frontend.protocol.cstp import disconnect_frame
from vpn_frontend.sessions.admission import RefusedError
from vpn_frontend.sessions.limits.traffic import SPARE, restriction_of
from vpn_frontend.settings import BandwidthSettings, NetworkSettings, QuotaSettings, parse_port_rule

ROUTES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
USED_UP = "The quota of 1 MB a day is used up. It begins again tomorrow."
DAY = QuotaSettings(day=10**6)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("tcp/443", "tcp/443"), ("udp/8000-8100", "udp/8000-8100"), ("icmp", "icmp"), ("!tcp/25", "!tcp/25"),
     ("tcp", "tcp"), ("esp", "esp"), (" udp/53 ", "udp/53")],
)  # fmt: skip
def test_port_rules_are_read_and_shown(text, shown):
    assert str(parse_port_rule(text)) == shown
    assert parse_port_rule(str(parse_port_rule(text))) == parse_port_rule(text)


@pytest.mark.parametrize(
    "text", ["", "tcp/", "tcp/0", "tcp/65536", "tcp/9-8", "icmp/8", "http", "tcp/443,80", "!!tcp/1", "tcp/٣", "TCP/1"]
)
def test_what_is_no_port_rule_is_refused(text):
    with pytest.raises(ValueError, match=r"ports|none of"):
        parse_port_rule(text)


def test_restrictions_are_those_of_the_settings():
    assert restriction_of(NetworkSettings(routes=ROUTES)) is None
    dns = ip_address("192.0.2.53")
    routed = NetworkSettings(routes=ROUTES, no_routes=(ip_network("10.1.0.0/16"),), dns=(dns,), restrict_to_routes=True)
    assert restriction_of(routed) == Restriction((*ROUTES, ip_network(dns)), (ip_network("10.1.0.0/16"),))
    everything = NetworkSettings(no_routes=(ip_network("10.1.0.0/16"),), restrict_to_routes=True)
    assert restriction_of(everything) == Restriction(None, (ip_network("10.1.0.0/16"),))
    only = NetworkSettings(restrict_to_ports=(parse_port_rule("tcp/443"), parse_port_rule("icmp")))
    assert restriction_of(only) == Restriction(ports=(PortRange(IpProtocol.TCP, 443, 443), PortRange(IpProtocol.ICMP)))
    all_but = restriction_of(NetworkSettings(restrict_to_ports=(parse_port_rule("!tcp/25"),)))
    assert (all_but.all_but_ports, all_but.ports) == (True, (PortRange(IpProtocol.TCP, 25, 25),))


def limits_of_sessions(lab):
    return [session.limits for session in lab.gateway.sessions.values()]


def test_a_session_without_limits_has_none(make_lab):
    lab = make_lab()
    lab.tunnel(lab.log_in())
    (limits,) = limits_of_sessions(lab)
    assert (limits.restriction, limits.budgets) == (None, ())


def test_each_session_has_its_own_bandwidth(make_lab):
    lab = make_lab(bandwidth=BandwidthSettings(1000, 2000))
    for _ in range(2):
        lab.tunnel(lab.log_in())
    (one,), (other,) = [limits.budgets for limits in limits_of_sessions(lab)]
    assert one is not other
    assert (one.from_client, one.to_client, one.left) == (1000, 2000, None)


def test_sessions_of_a_user_share_a_bandwidth_per_user(make_lab):
    lab = make_lab(bandwidth=BandwidthSettings(1000, 2000, per_user=True))
    for user in ("alice", "alice", "bob"):
        lab.tunnel(lab.log_in(user), user=user)
    (one,), (same,), (other,) = [limits.budgets for limits in limits_of_sessions(lab)]
    assert one is same
    assert one is not other
    assert (one.from_client, one.to_client) == (1000, 2000)


def test_the_quota_is_what_the_day_left(make_lab):
    lab = make_lab(quota=QuotaSettings(day=10**6, month=10**7), used_so_far={"alice": Usage(400_000, 9_900_000)})
    lab.tunnel(lab.log_in())
    ((budget,),) = [limits.budgets for limits in limits_of_sessions(lab)]
    assert budget.left == 100_000


def test_who_has_used_up_a_quota_is_told_and_cut_and_stays_out_until_tomorrow(make_lab):
    lab = make_lab(quota=DAY)
    lab.tunnel(lab.log_in())
    lab.tunnel(lab.log_in())
    lab.tunnel(lab.log_in("bob"), user="bob")
    first, second, _ = lab.gateway.sessions
    lab.gateway.move_data(first, received=600_000)
    lab.gateway.move_data(second, sent=400_000)
    lab.gateway.exceed_quota(second)
    lab.pump()
    assert lab.reasons() == [CloseReason.QUOTA_EXCEEDED] * 2
    assert lab.gateway.close_frames[first] == disconnect_frame(USED_UP)
    assert [view.user for view in lab.live.list()] == ["bob"]
    refusal = lab.table.find_refusal(lab.table.find_session(lab.log_in()).user, ())
    assert (refusal.text, refusal.reason) == (USED_UP, CloseReason.QUOTA_EXCEEDED)
    with pytest.raises(RefusedError, match="used up"):
        lab.begin(lab.log_in(), lab.peer())
    lab.pass_time(86_400)
    lab.tunnel(lab.log_in())


def test_an_event_that_comes_too_late_ends_nothing(make_lab):
    lab = make_lab(quota=DAY)
    lab.tunnel(lab.log_in())
    (session,) = lab.gateway.sessions
    lab.gateway.move_data(session, received=10**6)
    lab.wall += dt.timedelta(days=1)
    lab.pass_time(1)
    lab.gateway.exceed_quota(session)
    lab.pump()
    assert lab.reasons() == []
    assert lab.gateway.sessions[session].limits.budgets[0].left == 10**6


@pytest.mark.parametrize(("month_before", "left"), [(0, 400_000), (500_000, 400_000), (9_700_000, 200_000 + 100_000)])
def test_the_quota_counts_what_closed_sessions_moved(make_lab, month_before, left):
    lab = make_lab(quota=QuotaSettings(day=10**6, month=10**7 + 600_000), used_so_far={"alice": Usage(0, month_before)})
    lab.tunnel(lab.log_in())
    (session,) = lab.gateway.sessions
    lab.gateway.move_data(session, received=600_000)
    lab.live.kill_user("alice", "x")
    lab.pump()
    lab.tunnel(lab.log_in())
    ((budget,),) = [limits.budgets for limits in limits_of_sessions(lab)]
    assert budget.left == left


def test_a_month_ends_with_its_last_day(make_lab):
    lab = make_lab(quota=QuotaSettings(month=10**6), used_so_far={"alice": Usage(0, 10**6 - SPARE + 1)})
    with pytest.raises(RefusedError, match="next month"):
        lab.begin(lab.log_in(), lab.peer())
    lab.pass_time(24 * 86_400)
    with pytest.raises(RefusedError, match="next month"):
        lab.begin(lab.log_in(), lab.peer())
    lab.pass_time(86_400)
    lab.tunnel(lab.log_in())
