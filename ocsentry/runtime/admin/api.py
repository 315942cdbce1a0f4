# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the API over the layers that serve already. Loading this module takes as long as loading those did."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from admin_api.app import create_app
from admin_api.second_factors.totp_issuer import TotpIssuer
from admin_api.server import ApiServer
from admin_api.services import Services
from admin_api.stats.sampler import Sampler
from ocsentry.runtime.admin.console_sign_on import open_sign_on
from ocsentry.runtime.admin.console_url import console_url
from ocsentry.runtime.fleet import follow_fleet
from ocsentry.runtime.live_settings import LiveSettings
from ocsentry.runtime.webhooks import open_webhooks
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from admin_api.enforcement.kernel_filter import KernelFilter
    from admin_api.enforcement.service import Enforcement
    from admin_api.event_hub import EventHub
    from admin_api.fleet.node import FleetNode
    from admin_api.metrics.facts import ServerFacts
    from admin_api.metrics.login_metrics import LoginMetrics
    from admin_api.metrics.state_saves import StateSaves
    from admin_api.ports import ReadinessCheck
    from admin_api.store import Store
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.late_sessions import LateSessions
    from ocsentry.privileges.start import Started
    from ocsentry.rule_sources.feed_refresher import FeedRefresher
    from ocsentry.runtime.live_reload import LiveReload
    from sentry_engine import Engine
    from vpn_frontend.ports import EventSink
    from vpn_frontend.server import VpnServer
    from vpn_frontend.sessions.effective_settings import SettingsResolver


@dataclass(frozen=True, slots=True)
class Layers:
    """What the API shows and changes. The server owns all of it."""

    config: LoadedConfig
    started: Started
    store: Store
    engine: Engine
    enforcement: Enforcement
    sessions: LateSessions
    hub: EventHub
    events: EventSink
    kernel: KernelFilter
    login_metrics: LoginMetrics
    state_saves: StateSaves
    facts: ServerFacts
    hosts: set[str]
    live: LiveReload
    feeds: FeedRefresher
    settings: SettingsResolver
    fleet: FleetNode | None
    vpn: VpnServer


@asynccontextmanager
async def open_api(layers: Layers, checks: Mapping[str, ReadinessCheck]) -> AsyncIterator[Sampler]:
    """Serve until the context ends. Yields what notes the statistics, for the caller to call at its intervals.

    Raises ``OperatorError`` for webhooks and sign-ins of the configuration that cannot be used.
    """
    config, started, events = layers.config, layers.started, layers.events
    async with AsyncExitStack() as opened:
        webhooks = await opened.enter_async_context(open_webhooks(config, layers.store, layers.hub, events, started))
        sign_on = await opened.enter_async_context(open_sign_on(config, started, events))
        live_settings = LiveSettings(layers.store, layers.live, events)
        services = Services(
            store=layers.store,
            engine=layers.engine,
            enforcement=layers.enforcement,
            sessions=layers.sessions,
            events=layers.hub,
            version=version("ocsentry"),
            checks=checks,
            gateway_stats=layers.vpn.stats,
            kernel=layers.kernel,
            login_metrics=layers.login_metrics,
            state_saves=layers.state_saves,
            facts=layers.facts,
            hosts=layers.hosts,
            reload=layers.live.reload,
            needs_restart=lambda: layers.live.needs_restart,
            feeds=layers.feeds,
            totp=TotpIssuer.with_key(started.totp_key, config.vpn.auth.totp.issuer),
            settings=layers.settings,
            webhooks=webhooks.control,
            webhook_box=webhooks.box,
            settings_control=live_settings,
            acme=layers.vpn.acme_challenges,
            fleet=layers.fleet,
            console_url=console_url(config.values.admin),
            sign_on=sign_on,
        )
        follow_fleet(layers.fleet, services, live_settings, layers.vpn)
        api = await asyncio.to_thread(_make_api, services, started, config.values.admin.socket)
        await api.start()
        opened.push_async_callback(api.stop)
        opened.push_async_callback(services.operations.stop)
        yield Sampler(services)


def _make_api(services: Services, started: Started, socket_path: Path) -> ApiServer:
    """The API, which does not listen yet. Making its routes takes a quarter of a second: for a thread."""
    return ApiServer(
        create_app(services), services, listen=started.api_listener, socket_path=socket_path, tls=started.api_tls
    )
