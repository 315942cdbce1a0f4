# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal keeps of a session: all of it comes back, and nothing else is taken for it."""

from __future__ import annotations

import datetime as dt
import json
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry_engine.rules.schedules import Window
from vpn_frontend.ports import Device, RemoteLogin
from vpn_frontend.sessions.persistence.plain_values import from_plain, to_plain
from vpn_frontend.sessions.persistence.resumption import ResumptionError, draft_resumption, parse_resumption
from vpn_frontend.sessions.session import ToldUsage
from vpn_frontend.settings import PortRule
from vpn_frontend.testing.memory_ports import row_of

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.binary()
    | st.ip_addresses()
    | st.ip_addresses(v=4).map(ip_network)
    | st.ip_addresses(v=6).map(ip_network)
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.just(PortRule("tcp", 1, 2))
    | st.just(Window(frozenset({0, 6}), 60, 1440, "Europe/Berlin")),
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_every_value_comes_back(value):
    assert from_plain(json.loads(json.dumps(to_plain(value)))) == value


@pytest.mark.parametrize("value", [object(), open, 1j, {"key": object()}])
def test_other_types_are_not_kept(value):
    with pytest.raises(TypeError):
        to_plain(value)


def opened(lab, user="alice", **record):
    cookie = lab.log_in(user, **record)
    lab.tunnel(cookie, user=user, **record)
    return cookie, lab.table.find_session(cookie)


def render(session, *, changed=False):
    return draft_resumption(session, session.view(), changed=changed).render()


def parse(session, text):
    return parse_resumption(session.id, text, row_of(session.view()))


def test_a_session_comes_back_whole_and_without_its_cookie(make_lab):
    cookie, session = opened(make_lab(), groups=("staff",))
    text = render(session)
    assert cookie not in text
    saved = parse(session, text)
    for name in (
        "digest",
        "host",
        "groups",
        "device",
        "login_at",
        "logged_in_at",
        "started_at",
        "addresses",
        "mtu",
        "dpd",
    ):
        assert getattr(saved, name) == getattr(session, name), name
    assert (saved.user.name, saved.user.groups, saved.kept_user) == ("alice", ("staff",), False)
    assert (saved.address, saved.port, saved.cipher) == (session.peer.address, session.peer.port, session.peer.cipher)
    assert (saved.user_agent, saved.hostname) == (session.user_agent, session.hostname)


def test_the_text_repeats_nothing_of_its_row(make_lab):
    _, session = opened(make_lab(), groups=("staff",))
    row = {name: value for name, value in row_of(session.view()).items() if value}
    assert not row.keys() & json.loads(render(session)).keys()


def test_what_the_row_keeps_of_an_earlier_channel_is_in_the_text(make_lab):
    _, session = opened(make_lab())
    row = row_of(session.view())
    session.user_agent, session.hostname = "AnyConnect of today", "laptop"
    saved = parse_resumption(session.id, render(session, changed=True), row)
    assert (saved.user_agent, saved.hostname) == ("AnyConnect of today", "laptop")


def test_what_a_disconnect_hook_was_told_comes_back(make_lab):
    _, session = opened(make_lab())
    assert parse(session, render(session)).told is None
    session.told = ToldUsage(1 << 40, 7, dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC))
    assert parse(session, render(session)).told == session.told


def test_a_device_and_a_host_name_of_its_own_come_back(make_lab):
    _, session = opened(make_lab())
    session.device = Device("Alice's phone", "ios", "17.4", "phone", "0123456789abcdef")
    session.hostname = ""  # the row has the name of the device
    saved = parse(session, render(session))
    assert (saved.device, saved.hostname) == (session.device, "")


def test_a_text_of_the_first_version_repeats_its_row_and_is_read(make_lab):
    _, session = opened(make_lab(), groups=("staff",))
    document = json.loads(render(session)) | {
        "version": 1,
        "host": "",
        "user": "bob",
        "user_groups": [],
        "groups": ["one", "two"],
        "started_at": "2026-01-02T03:04:05+00:00",
        "login_address": None,
        "address": "198.51.100.7",
        "port": 7,
        "local_address": None,
        "local_port": 0,
        "tls_version": "TLSv1.2",
        "cipher": "AES",
        "user_agent": "agent",
        "hostname": "laptop",
        "ipv4": "192.168.99.9",
        "ipv6": None,
        "mobile": True,
        "hooked": False,
        "device": {"Device": {"name": "n", "platform": "", "platform_version": "", "kind": "", "unique_id": "u"}},
    }
    saved = parse(session, json.dumps(document))
    assert (saved.user.name, saved.user.groups, saved.groups) == ("bob", (), ("one", "two"))
    assert (saved.address, saved.port, saved.addresses.ipv4) == (
        ip_address("198.51.100.7"), 7, ip_address("192.168.99.9"),
    )  # fmt: skip
    assert (saved.hostname, saved.mobile, saved.login_address) == ("laptop", True, None)
    assert (saved.device.name, saved.device.unique_id) == ("n", "u")


def test_a_user_of_an_outside_server_comes_back_with_what_it_said(make_lab):
    _, session = opened(make_lab(), external=True)
    session.remote = RemoteLogin(
        "radius",
        "Alice",
        overrides={"network": {"routes": (ip_network("10.0.0.0/8"),)}, "static_ipv4": ip_address("192.168.99.7")},
        classes=(b"\xff\0",),
    )
    saved = parse(session, render(session))
    assert saved.remote == session.remote
    assert (saved.user.external, saved.kept_user, saved.user.password_hash) == (True, True, None)


def test_no_cut_or_changed_text_raises_anything_else(make_lab):
    _, session = opened(make_lab())
    text = render(session)
    for length in range(len(text)):
        with pytest.raises(ResumptionError):
            parse(session, text[:length])
    document = json.loads(text)
    for key in document:
        for other in (None, [], {}, "x", -1, {"object": {}}):
            try:
                parse(session, json.dumps({**document, key: other}))
            except ResumptionError:
                continue
    for text in ("", "[]", "null", "7", json.dumps({**document, "version": 3}), "[" * 100_000):
        with pytest.raises(ResumptionError):
            parse(session, text)
