# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshot of a session, which is made by position: each value has to stand in its own field."""

import datetime as dt
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import Device
from vpn_frontend.sessions.addresses.pool import InnerAddresses
from vpn_frontend.settings import SessionSettings


def test_each_value_stands_in_its_field(make_lab):
    lab = make_lab()
    cookie = lab.log_in()
    lab.tunnel(cookie)
    session, at = lab.table.find_session(cookie), dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    session.number, session.mtu, session.dpd, session.peer.port = 101, 102, 103, 104
    session.logged_in_at, session.started_at, session.connected_at = at, at + dt.timedelta(1), at + dt.timedelta(2)
    session.user_agent, session.hostname, session.dtls_cipher, session.host = "agent", "name", "dtls", "host"
    session.peer.tls_version, session.peer.cipher = "TLSv1.2", "tls"
    session.addresses = InnerAddresses(IPv4Address("10.0.0.9"), IPv6Address("fd00::9"))
    session.counters, session.device, session.groups = Counters(1, 2), Device("box"), ("ops",)
    session.settings = replace(session.settings, session=SessionSettings(105, 106, keepalive=107))
    found = session.view()
    for name in ("id", "number", "mtu", "dpd", "logged_in_at", "started_at", "connected_at", "user_agent", "hostname"):
        assert getattr(found, name) == getattr(session, name)
    for name in ("dtls_cipher", "host", "counters", "device", "groups", "remote", "metered"):
        assert getattr(found, name) == getattr(session, name)
    for name in ("address", "port", "tls_version", "cipher"):
        assert getattr(found, name) == getattr(session.peer, name)
    times = session.settings.session
    assert (found.keepalive, found.cookie_timeout, found.disconnect_grace) == (
        times.keepalive, times.cookie_timeout, times.disconnect_grace
    )  # fmt: skip
    assert (found.ipv4, found.ipv6) == (session.addresses.ipv4, session.addresses.ipv6)
    assert (found.network, found.bandwidth) == (session.settings.network, session.settings.bandwidth)
    assert (found.user, found.state, found.transport, found.by_certificate) == ("alice", "connected", "dtls", False)
    assert session.view(Counters(3)).counters == Counters(3)
