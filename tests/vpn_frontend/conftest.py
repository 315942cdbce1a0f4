# SPDX-License-Identifier: GPL-3.0-or-later
"""Users, settings, and a table of sessions on the gateway in memory and the engine's reference core."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sentry_engine import ClientLimits, Engine, Policy
from vpn_frontend.auth.password.hashes import hash_password
from vpn_frontend.gateway.interface import (
    ChannelDown,
    ConnectionClosed,
    DtlsDown,
    DtlsUp,
    QuotaExceeded,
    SessionAlive,
    SessionClosed,
    SessionIdle,
)
from vpn_frontend.ports import Device, Usage, UserRecord
from vpn_frontend.protocol.connect_request import TunnelRequest
from vpn_frontend.sessions.admission import Login
from vpn_frontend.sessions.persistence.resumption import parse_resumption
from vpn_frontend.sessions.session import Peer
from vpn_frontend.sessions.table import SessionTable
from vpn_frontend.settings import LimitSettings, NetworkSettings, SessionSettings, VpnSettings
from vpn_frontend.testing import MemoryEvents, MemoryGateway
from vpn_frontend.testing.memory_ports import row_of

NOW = 1000.0
EMPTY_POLICY = {"wolfsentry": {"version": "1.6.3", "rules": []}}


class InstantRecorder:
    """A recorder whose journal is a list: what was opened and closed, in order."""

    def __init__(self):
        self.behind = False
        self.open = {}
        self.ended = {}
        self.drafts = {}

    def opened(self, view, draft=None):
        assert view.id not in self.open
        assert view.id not in self.ended
        self.open[view.id] = view
        self.drafts[view.id] = draft

    def changed(self, view, draft):
        self.open[view.id] = view
        self.drafts[view.id] = draft

    def closed(self, view, reason):
        del self.open[view.id]
        self.ended[view.id] = (view, reason)

    def checkpoint(self, views):
        pass

    def kept(self, session_id):
        """The session as a later process reads it."""
        return parse_resumption(session_id, self.drafts[session_id].render(), row_of(self.open[session_id]))


@dataclass
class Lab:
    """The table of sessions with everything around it, and the steps of a client as one call each."""

    settings: VpnSettings
    engine: Engine
    gateway: MemoryGateway = field(default_factory=MemoryGateway)
    recorder: InstantRecorder = field(default_factory=InstantRecorder)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    now: float = NOW
    wall: dt.datetime = dt.datetime(2030, 1, 7, 12, tzinfo=dt.UTC)  # a Monday
    used_so_far: dict[str, Usage] = field(default_factory=dict)
    fleet: object = None

    def __post_init__(self):
        self.table = SessionTable(
            self.settings,
            engine=self.engine,
            gateway=self.gateway,
            recorder=self.recorder,
            events=self.events,
            wall_clock=lambda: self.wall,
            used_so_far=self.used_so_far,
            fleet=self.fleet,
        )

    @property
    def live(self):
        return self.table.live

    def log_in(self, user="alice", **record):
        record = UserRecord(user, "", **record)
        return self.table.log_in(Login(record, record.groups, Device(), "Open AnyConnect VPN Agent v9.01"), self.now)

    def peer(self, address="192.0.2.1", tls_version="TLSv1.3"):
        connection = self.gateway.connect(address, tls_version=tls_version)
        return Peer(
            connection, ip_address(address), 40_000, tls_version, "TLS13-AES256-GCM-SHA384", 443, bytes(32), bytes(32)
        )

    def user_of(self, cookie):
        return self.table.find_session(cookie).user.name

    def begin(self, cookie, peer, request=None, user="alice", probe=None, **record):
        record = UserRecord(user, "", **record)
        session = self.table.find_session(cookie)
        return self.table.begin_tunnel(session, record, peer, request or TunnelRequest(), self.now, probe)

    def open(self, admission, *, meanwhile=lambda: None, head=b"HEAD"):
        """Returns what was granted. ``meanwhile`` happens between the grant and the new channel."""
        granted = []

        def respond(grant):
            granted.append(grant)
            meanwhile()
            return head, b""

        self.table.open_tunnel(admission, respond, self.now)
        return granted[0]

    def tunnel(self, cookie, *, address="192.0.2.1", tls_version="TLSv1.3", request=None, user="alice", **record):
        """CONNECT, whole; returns the connection and what was granted."""
        peer = self.peer(address, tls_version)
        admission = self.begin(cookie, peer, request, user, **record)
        self.pump()
        assert admission.has_room
        grant = self.open(admission)
        self.pump()
        return peer.connection_id, grant

    def pump(self):
        """Hand the gateway's events over, as the server does."""
        while events := self.gateway.events():
            for event in events:
                self.handle(event)

    def handle(self, event):
        match event:
            case ChannelDown():
                self.table.reports.channel_down(event, self.now)
            case ConnectionClosed():
                self.table.reports.connection_closed(event.connection_id, event.cause, self.now)
            case SessionIdle():
                self.table.reports.session_idle(event.session, self.now)
            case SessionClosed():
                self.table.reports.session_closed(event, self.now)
            case SessionAlive():
                self.table.reports.session_alive(event.session)
            case DtlsUp():
                self.table.reports.dtls_up(event)
            case DtlsDown():
                self.table.reports.dtls_down(event)
            case QuotaExceeded():
                self.table.changes.quota_exceeded(event.session, self.now)

    def pass_time(self, seconds):
        self.now += seconds
        self.wall += dt.timedelta(seconds=seconds)
        self.table.expire(self.now)
        self.pump()

    def hang_up(self, connection, *cause):
        self.gateway.hang_up(connection, *cause)
        self.pump()

    def reasons(self):
        return [reason for _, reason in self.recorder.ended.values()]


@pytest.fixture
def make_engine():
    """Engines on the reference core, on a clock that stands unless ``now`` is given; closed at the end."""
    made = []

    def make(document=None, **keywords):
        keywords.setdefault("clock", lambda: NOW)
        made.append(Engine(Policy.from_document(document or EMPTY_POLICY), core="reference", **keywords))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture(scope="session")
def certificate_files(tmp_path_factory):
    """A chain and its key, as files."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vpn.test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    chain_file, key_file = folder / "server.crt", folder / "server.key"
    chain_file.write_bytes(certificate.public_bytes(encoding))
    key_file.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return chain_file, key_file


@pytest.fixture
def make_settings(certificate_files):
    """``VpnSettings`` for tests: small pools and short times, anything replaced by keyword."""

    def make(*, network=None, limits=None, session=None, **keywords) -> VpnSettings:
        chain, key = certificate_files
        settings = VpnSettings(
            certificate=Path(chain),
            private_key=Path(key),
            network=NetworkSettings(ipv4_pool=IPv4Network("192.168.99.0/29"), ipv6_pool=IPv6Network("fd00:99::/64")),
            limits=LimitSettings(max_clients=64, max_same_clients=2),
            session=SessionSettings(cookie_timeout=300),
        )
        return replace(
            settings,
            network=replace(settings.network, **(network or {})),
            limits=replace(settings.limits, **(limits or {})),
            session=replace(settings.session, **(session or {})),
            **keywords,
        )

    return make


@pytest.fixture
def make_lab(make_settings, make_engine):
    def make(document=None, *, on_excess="deny_new", gateway=None, used_so_far=None, fleet=None, **keywords) -> Lab:
        settings = make_settings(**keywords)
        limits = ClientLimits(
            max_clients=settings.limits.max_clients,
            max_same_clients=settings.limits.max_same_clients,
            on_excess=on_excess,
        )
        engine = make_engine(document, limits=limits)
        return Lab(settings, engine, gateway or MemoryGateway(), used_so_far=used_so_far or {}, fleet=fleet)

    return make


@pytest.fixture(scope="session")
def users():
    """Records by name, all with the password ``secret``."""
    encoded = hash_password("secret")
    return {
        "alice": UserRecord("alice", encoded, groups=("staff", "ops")),
        "bob": UserRecord("bob", encoded),
        "gone": UserRecord("gone", encoded, enabled=False),
        "old": UserRecord("old", encoded, expires_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)),
    }


@pytest.fixture(scope="session")
def lab_class():
    return Lab
