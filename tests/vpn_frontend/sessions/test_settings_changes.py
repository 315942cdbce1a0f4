# SPDX-License-Identifier: GPL-3.0-or-later
"""Changed users and groups, applied to live sessions; schedules and ends."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from ipaddress import IPv4Address, ip_network

import pytest

from sentry_engine.rules.schedules import Window
from vpn_frontend.gateway.interface import GatewayError
from vpn_frontend.ports import CloseReason, Device, RemoteLogin, UserRecord
from vpn_frontend.protocol.cstp import disconnect_frame
from vpn_frontend.sessions.admission import Login, RefusedError
from vpn_frontend.sessions.effective_settings import LIVE, SettingsResolver
from vpn_frontend.sessions.settings_changes import merge_groups
from vpn_frontend.settings import VpnSettings, parse_port_rule

ALICE = UserRecord("alice", "", groups=("staff",))
HTTPS = (parse_port_rule("tcp/443"),)
OFFICE = (Window(frozenset(range(5)), 8 * 60, 18 * 60, "UTC"),)  # the lab's clock begins at noon on a Monday
BANNED = {
    "wolfsentry": {
        "version": "1.6.3",
        "rules": [],
        "users": [{"id": "banned", "group": ["banned"], "remote_addr": "203.0.113.0/24"}],
    }
}


def connected(lab, record=ALICE, **more):
    lab.tunnel(lab.log_in(record.name, groups=record.groups, **more), user=record.name, groups=record.groups, **more)
    return [*lab.gateway.sessions][-1]


def limits_of(lab, session):
    return lab.gateway.sessions[session].limits


def test_a_changed_group_limits_live_sessions_of_its_members_only(make_lab):
    lab = make_lab()
    mine, other = connected(lab), connected(lab, UserRecord("bob", ""))
    assert (
        lab.live.change_groups({"staff": {"network": {"restrict_to_ports": HTTPS}, "bandwidth": {"to_client": 9}}})
        == []
    )
    assert limits_of(lab, mine).restriction.ports is not None
    assert [budget.to_client for budget in limits_of(lab, mine).budgets] == [9]
    assert limits_of(lab, other).restriction is None
    lab.live.change_groups({})
    assert (limits_of(lab, mine).restriction, limits_of(lab, mine).budgets) == (None, ())


def test_a_user_moved_into_a_refused_group_is_cut(make_lab):
    lab = make_lab(BANNED)
    session, other = connected(lab), connected(lab, UserRecord("bob", ""))
    moved = replace(ALICE, groups=("banned",))
    assert [view.user for view in lab.live.change_user(ALICE, moved, dry_run=True)] == ["alice"]
    assert session in lab.gateway.sessions
    assert [view.user for view in lab.live.change_user(ALICE, moved)] == ["alice"]
    assert b"Your access has ended" in lab.gateway.close_frames[session]
    assert other in lab.gateway.sessions
    lab.pump()
    assert lab.reasons() == [CloseReason.POLICY]


def test_groups_of_an_authentication_server_stay(make_lab):
    lab = make_lab()
    login = Login(
        UserRecord("alice", external=True), ("radius", "staff"), Device(), "agent", RemoteLogin("radius", "alice")
    )
    cookie = lab.table.log_in(login, lab.now)
    lab.tunnel(cookie, external=True)
    lab.live.change_user(ALICE, replace(ALICE, groups=("ops",)))
    assert lab.live.list()[0].groups == ("radius", "ops")


@pytest.mark.parametrize(
    ("present", "before", "after", "merged"),
    [
        (("staff", "ops"), ("ops", "staff"), ("ops", "staff"), ("staff", "ops")),
        (("staff", "ops"), ("ops", "staff"), ("ops",), ("ops",)),
        (("staff",), ("staff",), ("new", "staff"), ("staff", "new")),
        (("ldap", "staff"), ("staff",), (), ("ldap",)),
    ],
)
def test_the_chosen_group_leads_and_lost_ones_go(present, before, after, merged):
    assert merge_groups(present, before, after) == merged


def test_a_session_takes_the_groups_of_its_user_when_it_connects_again(make_lab):
    lab = make_lab()
    lab.live.change_groups({"ops": {"network": {"restrict_to_ports": HTTPS}}})
    cookie = lab.log_in(groups=("staff",))
    connection, _ = lab.tunnel(cookie, groups=("staff",))
    (session,) = lab.gateway.sessions
    lab.hang_up(connection)
    lab.tunnel(cookie, groups=("ops",))
    assert lab.live.list()[0].groups == ("ops",)
    assert limits_of(lab, session).restriction is not None


def test_sessions_beyond_a_smaller_limit_end_the_newest_first(make_lab):
    lab = make_lab(limits={"max_same_clients": 3})
    first, _, _ = (connected(lab) for _ in range(3))
    cut = lab.live.change_user(ALICE, replace(ALICE, max_same_clients=1))
    lab.pump()
    assert len(cut) == 2
    assert [*lab.gateway.sessions] == [first]
    with pytest.raises(RefusedError):
        lab.begin(lab.log_in(groups=("staff",), max_same_clients=1), lab.peer(), groups=("staff",), max_same_clients=1)


def test_a_session_whose_limits_cannot_be_set_does_not_go_on_without_them(make_lab, monkeypatch):
    lab = make_lab()
    session = connected(lab)

    def refuse(*_):
        raise GatewayError("limit: the worker's mailbox is full")

    monkeypatch.setattr(lab.gateway, "limit", refuse)
    assert len(lab.live.change_groups({"staff": {"network": {"restrict_to_ports": HTTPS}}})) == 1
    assert b"connect again" in lab.gateway.close_frames[session]
    assert lab.events.of("backend_failed")[0]["what"] == "limits"


def test_outside_the_schedule_a_session_ends_and_a_login_is_refused(make_lab):
    lab = make_lab()
    lab.live.change_groups({"staff": {"schedule": OFFICE}})
    session = connected(lab)
    lab.pass_time(6 * 3600 - 1)
    assert session in lab.gateway.sessions
    lab.pass_time(1)
    told = "Access is limited to mon tue wed thu fri 08:00-18:00 (UTC)."
    assert lab.gateway.close_frames[session] == disconnect_frame(told)
    assert lab.reasons() == [CloseReason.SCHEDULE]
    refusal = lab.table.find_refusal(ALICE, ALICE.groups)
    assert (refusal.text, refusal.reason) == (told, CloseReason.SCHEDULE)
    lab.pass_time(14 * 3600)
    assert lab.table.find_refusal(ALICE, ALICE.groups) is None


@pytest.mark.parametrize("owner", ["user", "group"])
def test_after_the_end_a_session_ends_and_a_login_is_refused(make_lab, owner):
    lab = make_lab()
    end = lab.wall + dt.timedelta(hours=1)
    record = {"expires_at": end} if owner == "user" else {}
    lab.live.change_groups({} if owner == "user" else {"staff": {"expires_at": end}})
    session = connected(lab, **record)
    lab.pass_time(3599)
    assert session in lab.gateway.sessions
    lab.pass_time(1)
    assert lab.reasons() == [CloseReason.EXPIRED]
    assert b"has expired" in lab.gateway.close_frames[session]
    with pytest.raises(RefusedError, match="has expired"):
        lab.begin(lab.log_in(groups=("staff",), **record), lab.peer(), groups=("staff",), **record)


def test_a_user_s_own_end_is_over_that_of_the_group(make_lab):
    lab = make_lab()
    past, future = (lab.wall + dt.timedelta(hours=hours) for hours in (-1, 1))
    lab.live.change_groups({"staff": {"expires_at": past}})
    assert lab.table.find_refusal(ALICE, ALICE.groups) is not None
    assert lab.table.find_refusal(replace(ALICE, expires_at=future), ALICE.groups) is None


def test_groups_have_pools_of_their_own(make_lab):
    guests = {"network": {"ipv4_pool": ip_network("10.8.0.0/30"), "ipv6_pool": None}}
    lab = make_lab(groups={"guests": guests})
    _, grant = lab.tunnel(lab.log_in(groups=("guests",)), groups=("guests",))
    assert (grant.ipv4, grant.ipv6) == (IPv4Address("10.8.0.2"), None)
    _, grant = lab.tunnel(lab.log_in("bob"), user="bob")
    assert grant.ipv4 in ip_network("192.168.99.0/29")
    with pytest.raises(RefusedError, match="no free address"):
        lab.tunnel(lab.log_in("carol", groups=("guests",)), user="carol", groups=("guests",))
    lab.live.kill_user("alice", "x")
    lab.pump()
    _, grant = lab.tunnel(lab.log_in("carol", groups=("guests",)), user="carol", groups=("guests",))
    assert grant.ipv4 == IPv4Address("10.8.0.2")


def test_groups_of_the_api_are_over_those_of_the_configuration_key_by_key():
    resolver = SettingsResolver(
        VpnSettings(groups={"staff": {"network": {"mtu": 1200, "nbns": ()}, "label": "Staff"}}),
        {"staff": {"network": {"mtu": 1300}}, "ops": {"label": "Operators"}},
    )
    settings = resolver.resolve_groups(("staff",))
    assert (settings.network.mtu, settings.origin_of("network.mtu")) == (1300, "group staff")
    assert settings.origin_of("network.nbns") == "group staff (file)"
    assert resolver.resolve_groups(("staff",)) is settings
    assert resolver.labels() == {"staff": "Staff", "ops": "Operators"}
    assert resolver.with_groups({}).resolve_groups(("staff",)).network.mtu == 1200
    assert resolver.resolve_groups(("staff",)) is settings, "a trial changes nothing"


def test_every_key_that_live_sessions_have_at_once_is_one():
    assert SettingsResolver(VpnSettings()).resolve_groups(()).values().keys() >= LIVE
