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
from vpn_frontend.ports import RemoteLogin
from vpn_frontend.sessions.persistence.plain_values import from_plain, to_plain
from vpn_frontend.sessions.persistence.resumption import ResumptionError, parse_resumption, render_resumption
from vpn_frontend.settings import PortRule

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


def test_a_session_comes_back_whole_and_without_its_cookie(make_lab):
    cookie, session = opened(make_lab(), groups=("staff",))
    text = render_resumption(session)
    assert cookie not in text
    saved = parse_resumption(session.id, text)
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


def test_a_user_of_an_outside_server_comes_back_with_what_it_said(make_lab):
    _, session = opened(make_lab(), external=True)
    session.remote = RemoteLogin(
        "radius",
        "Alice",
        overrides={"network": {"routes": (ip_network("10.0.0.0/8"),)}, "static_ipv4": ip_address("192.168.99.7")},
        classes=(b"\xff\0",),
    )
    saved = parse_resumption(session.id, render_resumption(session))
    assert saved.remote == session.remote
    assert (saved.user.external, saved.kept_user, saved.user.password_hash) == (True, True, None)


def test_no_cut_or_changed_text_raises_anything_else(make_lab):
    _, session = opened(make_lab())
    text = render_resumption(session)
    for length in range(len(text)):
        with pytest.raises(ResumptionError):
            parse_resumption(session.id, text[:length])
    document = json.loads(text)
    for key in document:
        for other in (None, [], {}, "x", -1, {"object": {}}):
            try:
                parse_resumption(session.id, json.dumps({**document, key: other}))
            except ResumptionError:
                continue
    for text in ("", "[]", "null", "7", json.dumps({**document, "version": 2}), "[" * 100_000):
        with pytest.raises(ResumptionError):
            parse_resumption(session.id, text)
