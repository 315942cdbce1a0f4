# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole API in memory: real store, reference core, the application behind httpx; only the VPN is a fake."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
from fastapi import FastAPI

from admin_api.app import create_app
from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from admin_api.http.etags import etag_of_version
from admin_api.http.identity import ALL_SCOPES, Scope
from admin_api.http.problems import invalid_value
from admin_api.ports import SettingEntry, SettingOrigin, SettingsChange, SettingsState
from admin_api.second_factors.secret_box import WEBHOOKS, SecretBox
from admin_api.second_factors.totp_issuer import TotpIssuer
from admin_api.services import Services
from admin_api.store import Store
from admin_api.tokens.service import create_token
from admin_api.workers import ControlWorker
from lab.services.postgresql import Postgresql, running_postgresql
from sentry_engine import Action, Engine, Policy
from vpn_frontend.gateway.interface import Counters
from vpn_frontend.ports import SessionState, SessionStatistics, SessionView, Traffic, UserRecord, WaitingLogin
from vpn_frontend.sessions.effective_settings import SettingsResolver
from vpn_frontend.sessions.records.statistics import StatisticsCounter
from vpn_frontend.settings import AuthSettings, LoginRules, Overrides, VpnSettings

TOTP_KEY = bytes(32)
NEVER_BLOCK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
databases = itertools.count()
CALLER = "192.0.2.200"  # source address of the tests' requests

RULES = {
    "wolfsentry": {
        "version": "1.6.3",
        "builtin_limits": False,
        "rules": [
            {"id": "corporate", "type": "whitelist", "remote_addr": "203.0.113.0/24", "description": "Head office"},
            {"id": "no_lab", "type": "blacklist", "remote_addr": "192.0.2.64/26"},
        ],
    }
}


FILE_GROUPS: dict[str, Overrides] = {
    "guests": {"label": "Guests", "network": {"ipv4_pool": ip_network("10.8.0.0/24"), "mtu": 1250}}
}
FILE_AUTH = AuthSettings(group_rules={"guests": LoginRules(("password",), ("totp",))})


def make_view(
    session_id: str = "s1", *, user: str = "alice", address: str = "198.51.100.7", **more: Any
) -> SessionView:
    view = SessionView(
        id=session_id,
        user=user,
        groups=("staff",),
        address=ip_address(address),
        port=50_000,
        ipv4=ip_address("192.168.99.2"),
        ipv6=None,
        logged_in_at=datetime(2030, 1, 2, 3, 4, 0, tzinfo=UTC),
        started_at=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
        state=SessionState.CONNECTED,
        transport="tls",
        tls_version="TLSv1.3",
        cipher="TLS13-AES256-GCM-SHA384",
        user_agent="Open AnyConnect VPN Agent v9.01",
        hostname="laptop",
        counters=Counters(rx_packets=1, rx_bytes=100, tx_packets=2, tx_bytes=200),
    )
    return replace(view, **more)


class FakeSessions:
    """A fake of the VPN's session table, on the same engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.views: dict[str, SessionView] = {}
        self.farewells: dict[str, str] = {}
        self.changed_users: list[tuple[UserRecord, UserRecord, bool]] = []
        self.groups: Mapping[str, Overrides] = {}
        self.waiting: list[WaitingLogin] = []
        self.counter = StatisticsCounter(lambda: datetime(2030, 1, 2, tzinfo=UTC))

    def add(self, view: SessionView) -> SessionView:
        self.views[view.id] = view
        return view

    def list(self) -> list[SessionView]:
        return [*self.views.values()]

    def traffic(self) -> Traffic:
        counted = [view.counters for view in self.list()]
        return Traffic(len(counted), sum(one.rx_bytes for one in counted), sum(one.tx_bytes for one in counted))

    def get(self, session_id: str) -> SessionView | None:
        return self.views.get(session_id)

    def kill(self, session_id: str, text: str) -> bool:
        self.farewells[session_id] = text
        waiting = [login for login in self.waiting if login.id == session_id]
        self.waiting = [login for login in self.waiting if login.id != session_id]
        return self.views.pop(session_id, None) is not None or bool(waiting)

    def disconnect(self, session_id: str, text: str, now: float) -> bool:
        return self.kill(session_id, text)

    def waiting_logins(self) -> list[WaitingLogin]:
        return self.waiting

    def statistics(self) -> SessionStatistics:
        return self.counter.snapshot()

    def reset_statistics(self) -> None:
        self.counter.reset()

    def kill_user(self, user: str, text: str) -> int:
        return sum(self.kill(view.id, text) for view in [*self.views.values()] if view.user == user)

    def change_user(self, before: UserRecord, after: UserRecord, *, dry_run: bool = False) -> list[SessionView]:
        self.changed_users.append((before, after, dry_run))
        return []

    def change_groups(self, groups: Mapping[str, Overrides], *, dry_run: bool = False) -> list[SessionView]:
        """Disconnects the members of groups with an end, as if all were over."""
        cut = [view for view in self.list() if any("expires_at" in groups.get(group, {}) for group in view.groups)]
        if not dry_run:
            self.groups = groups
            for view in cut:
                self.kill(view.id, "group")
        return cut

    async def reassess(self, now: float | None = None) -> Iterable[SessionView]:
        refused = [v for v in self.views.values() if self.engine.explain(v.address).verdict.action is Action.REJECT]
        for view in refused:
            self.kill(view.id, "policy")
        return refused

    def affected_by(self, network: Any) -> Iterable[SessionView]:
        return [view for view in self.views.values() if self.engine.would_block(network, view.address)]


class FakeConfiguration:
    """A ``SettingsControl`` with one key."""

    def __init__(self) -> None:
        self.level: Any = "info"

    async def read(self) -> SettingsState:
        origin = SettingOrigin.FILE if self.level == "info" else SettingOrigin.API
        entries = {
            "log.level": SettingEntry(self.level, origin, True),
            "vpn.dtls": SettingEntry(True, SettingOrigin.DEFAULT, False),
        }
        return SettingsState(entries, ["vpn.listen"], etag_of_version(self.level))

    async def change(
        self, changes: Mapping[str, object], check: Callable[[str], None], *, by: str, dry_run: bool
    ) -> SettingsChange:
        check((await self.read()).etag)
        if set(changes) - {"log.level"}:
            raise invalid_value("/vpn.dtls", "no setting that can change while the server runs")
        if not dry_run and changes:
            self.level = changes["log.level"] or "info"
        return SettingsChange(await self.read(), ["log.level"])


@dataclass
class Server:
    """One running API. ``client`` has every scope; ``client_with(...)`` makes clients with other scopes."""

    services: Services
    app: FastAPI
    sessions: FakeSessions
    rules_folder: Path
    token: str
    client: httpx.AsyncClient
    anonymous: httpx.AsyncClient
    client_with: Callable[..., Any]

    @property
    def engine(self) -> Engine:
        return self.services.engine

    @property
    def store(self) -> Store:
        return self.services.store

    @property
    def enforcement(self) -> Enforcement:
        return self.services.enforcement

    def write_rules(self, document: object, name: str = "rules.json") -> Path:
        path = self.rules_folder / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path


@pytest.fixture
def view() -> Callable[..., SessionView]:
    return make_view


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the newest schema: copied for each test, because the migrations take longest of all."""
    path = tmp_path_factory.mktemp("database") / "empty.db"

    async def make() -> None:
        await (await Store.open(f"sqlite:///{path}")).close()

    asyncio.run(make())
    return path


@pytest.fixture(scope="session")
def shared_postgresql() -> Iterator[Postgresql]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to run PostgreSQL as its own user")
    with running_postgresql() as server:
        yield server


@pytest.fixture
def postgresql_url(shared_postgresql: Postgresql) -> Iterator[str]:
    """The URL of a new database of the shared PostgreSQL.

    It is dropped while its files are not on the disk yet: to remove those of all tests at the end takes long.
    """
    url = shared_postgresql.url
    name = f"test{next(databases)}"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    head, _, options = url.partition("?")
    yield f"{head.rpartition('/')[0]}/{name}?{options}"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store_url(tmp_path: Path, empty_database: Path) -> str:
    shutil.copy(empty_database, tmp_path / "ocsentry.db")
    return f"sqlite:///{tmp_path / 'ocsentry.db'}"


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = await Store.open(store_url)
    yield opened
    await opened.close()


@pytest.fixture
def rules_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "rules.json").write_text(json.dumps(RULES))
    return folder


@pytest.fixture
def control() -> Iterator[ControlWorker]:
    worker = ControlWorker()
    yield worker
    worker.close()


@pytest_asyncio.fixture
async def services(store: Store, rules_folder: Path) -> AsyncIterator[Services]:
    engine = Engine(Policy.load(rules_folder), core="reference", never_block=NEVER_BLOCK)
    events = EventHub()
    sessions = FakeSessions(engine)
    enforcement = Enforcement(engine, sessions, store, [rules_folder], events=events, never_block=NEVER_BLOCK)
    await enforcement.start()
    yield Services(
        store=store,
        engine=engine,
        enforcement=enforcement,
        sessions=sessions,
        events=events,
        version="1.2.3",
        hosts=["api.test"],
        settings=SettingsResolver(VpnSettings(groups=FILE_GROUPS, auth=FILE_AUTH)),
        totp=TotpIssuer.with_key(TOTP_KEY, "My VPN"),
        webhook_box=SecretBox(TOTP_KEY, WEBHOOKS),
        settings_control=FakeConfiguration(),
    )
    events.close()
    await enforcement.stop()
    engine.close()


@pytest_asyncio.fixture
async def server(services: Services, rules_folder: Path) -> AsyncIterator[Server]:
    app = create_app(services)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(CALLER, 40_000))
    connect = functools.partial(httpx.AsyncClient, transport=transport, base_url="http://api.test")

    async def client_with(*scopes: Scope) -> httpx.AsyncClient:
        _, text = await create_token(services.store, "a test", scopes, by="the tests")
        return connect(headers={"Authorization": f"Bearer {text}"})

    _, text = await create_token(services.store, "all", ALL_SCOPES, by="the tests")
    sessions: Any = services.sessions
    async with connect() as anonymous, connect(headers={"Authorization": f"Bearer {text}"}) as client:
        yield Server(services, app, sessions, rules_folder, text, client, anonymous, client_with)
