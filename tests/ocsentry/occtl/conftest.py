# SPDX-License-Identifier: GPL-3.0-or-later
"""A server with two users, a login that waits and a ban, answering with the API's own schemas."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest

from admin_api.penalties.schemas import SourceView
from admin_api.sessions.schemas import LoginWaiting, SessionLive, StatisticsView
from ocsentry.api_client.client import ClientError
from ocsentry.occtl.control import Control
from ocsentry.occtl.words import find_command
from tests.admin_api.conftest import make_view
from vpn_frontend.ports import SessionState, SessionStatistics, WaitingLogin
from vpn_frontend.settings import BandwidthSettings, NetworkSettings, parse_port_rule

NOW = datetime(2030, 1, 4, 9, 30, 0, tzinfo=UTC)
ALICE = make_view(
    "0a1b2c3d4e5f6071",
    number=7,
    started_at=NOW - timedelta(hours=41, minutes=6),
    logged_in_at=NOW - timedelta(hours=42),
    connected_at=NOW - timedelta(seconds=94),
    mtu=1400,
    dpd=90,
    keepalive=32400,
    cookie_timeout=300,
    by_certificate=True,
    ipv6=ip_address("fd00:99::2"),
    disconnect_grace=15,
    dtls_cipher="PSK-AES256-GCM-SHA384",
    bandwidth=BandwidthSettings(from_client=1_250_000, to_client=0),
    network=NetworkSettings(
        routes=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")),
        split_dns=("example.com",),
        restrict_to_ports=(parse_port_rule("tcp/443"), parse_port_rule("icmp")),
        restrict_to_routes=True,
    ),
)
BOB = replace(
    make_view("ffee00112233", user="bob"),
    number=8,
    groups=(),
    cookie_timeout=300,
    disconnect_grace=300,
    host="b.test",
    mtu=1300,
    dpd=30,
)
ROAMING = replace(make_view("0a1bffff", user="carol"), number=9, state=SessionState.ROAMING, cookie_timeout=300)
WAITING = WaitingLogin("beef00", "dave", ("staff",), ip_address("192.0.2.9"), "agent", NOW, 300, False)
STATISTICS = SessionStatistics(
    sessions=12,
    refused_logins=3,
    since=NOW - timedelta(days=3),
    ended=9,
    timed_out=1,
    idle=2,
    failed=1,
    refused_logins_in_period=2,
    average_login=0.12,
    longest_login=3.4,
    average_session=3725.0,
    longest_session=200_000.0,
    min_mtu=1280,
    max_mtu=1400,
    rx_bytes=1_234_567,
    tx_bytes=20_400_000_000,
)
PENALTY = {"network": "198.51.100.7/32", "until": "2030-01-04T09:35:00Z", "strikes": 2}
SOURCES = [
    {
        "network": "198.51.100.7/32",
        "strikes": 0,
        "events": [
            {"event": "auth_failure", "count": 2, "last_at": NOW},
            {"event": "connect", "count": 3, "last_at": NOW},
        ],
    },
    {"network": "203.0.113.9/32", "strikes": 1, "events": []},
    {"network": "2001:db8::/64", "strikes": 0, "events": [{"event": "connect", "count": 1, "last_at": NOW}]},
]
BLOCK = {"id": "block:1", "cidr": "203.0.113.0/24", "expires_at": None}


class FakeServer:
    """Answers like a ``SocketClient``. ``sent`` has the changes that it was asked for."""

    def __init__(self):
        self.sent = []
        self.lists = {
            "sessions": [SessionLive.model_validate(view).model_dump(mode="json") for view in (ALICE, BOB, ROAMING)],
            "sessions/waiting": [LoginWaiting.model_validate(WAITING).model_dump(mode="json")],
            "penalties": [PENALTY],
            "penalties/sources": [SourceView.model_validate(one).model_dump(mode="json") for one in SOURCES],
            "blocks": [BLOCK],
        }
        self.documents = {
            "status": {"started_at": (NOW - timedelta(days=5)).isoformat(), "uptime": 432_000.5},
            "sessions/statistics": StatisticsView.model_validate(STATISTICS).model_dump(mode="json"),
        }
        self.events = []

    def get(self, resource):
        return self.documents[resource]

    def items(self, resource, cidr=None, *, local=False):
        assert local == (resource == "sessions"), "occtl shows the node that it runs on"
        rows = [dict(row) for row in self.lists[resource]]
        return rows if cidr is None else [row for row in rows if row["cidr"].removesuffix("/32") == cidr]

    def delete(self, resource, **query):
        self.sent.append((resource, {name: value for name, value in query.items() if value is not None}))
        if resource == "penalties":
            return {"forgiven": sum(row["network"] == f"{query['network']}/32" for row in self.lists["penalties"])}
        room, _, name = resource.rpartition("/")
        known = [row["id"] for row in (*self.lists["sessions"], *self.lists["sessions/waiting"])]
        if room == "sessions" and name not in (*known, "statistics"):
            raise ClientError(f"There is no live session {name}")
        return None

    def stream(self, resource):
        assert resource == "events"
        yield from self.events

    def server_process(self):
        return 4711


@pytest.fixture
def server():
    return FakeServer()


@pytest.fixture
def occtl(server):
    """Runs one line. Returns the exit code, standard output and standard error."""

    def run(line, *, as_json=False, keys=""):
        out, err = io.StringIO(), io.StringIO()
        command, argument = find_command(line)
        control = Control(server, out, err, io.StringIO(keys), as_json=as_json, clock=lambda: NOW)
        return control.run(command.verb, argument), out.getvalue(), err.getvalue()

    return run
