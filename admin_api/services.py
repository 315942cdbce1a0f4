# SPDX-License-Identifier: GPL-3.0-or-later
"""The services that the endpoints use; the composition root passes them to ``create_app``."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from admin_api.clock import SYSTEM_CLOCK, Clock
from admin_api.enforcement.kernel_filter import KernelFilter, NoKernelFilter
from admin_api.enforcement.rule_listing import RuleListing
from admin_api.enforcement.source_listing import SourceListing
from admin_api.http.limits.throttle import Throttle
from admin_api.http.request_metrics import RequestMetrics
from admin_api.long_operations import Operations
from admin_api.metrics.facts import ServerFacts
from admin_api.metrics.login_metrics import LoginMetrics
from admin_api.metrics.state_saves import StateSaves
from admin_api.one_time_codes import OneTimeCodes
from admin_api.ports import NoFeeds, NoWebhooks
from admin_api.time_series import TimeSeries
from admin_api.token_uses import TokenUses
from sentry_engine.records import dataclass
from vpn_frontend.sessions.effective_settings import SettingsResolver
from vpn_frontend.settings import VpnSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from admin_api.enforcement.reports import ReloadReport
    from admin_api.enforcement.service import Enforcement
    from admin_api.event_hub import EventHub
    from admin_api.fleet.node import FleetNode
    from admin_api.ports import (
        AcmeControl,
        FeedControl,
        GatewayStats,
        LiveSessions,
        ReadinessCheck,
        SettingsControl,
        WebhookControl,
    )
    from admin_api.second_factors.secret_box import SecretBox
    from admin_api.second_factors.totp_issuer import TotpIssuer
    from admin_api.single_sign_on.sign_on import SignOn
    from admin_api.store import Store
    from sentry_engine import Engine


@dataclass(frozen=True, slots=True)
class Services:
    """``checks``: further readiness checks by name. ``gateway_stats``: returns the gateway's counters.

    ``hosts``: the names by which clients may call the API over TCP, in lower case. ``reload``: of the configuration;
    ``None``: no server runs. ``needs_restart``: changed keys that wait for one.
    ``totp``: what enrols users for one-time passwords;
    ``None``: there is no key. ``settings``: of groups and users, the VPN's own. ``webhook_box``: seals secrets of
    webhooks; ``None``: there is no key. ``settings_control``: the configuration; ``acme``:
    challenges of ACME servers; ``None``: no server runs.
    ``sign_on``: where people sign in to the console; ``None``: by codes and tokens only.
    ``console_url``: where a browser finds the console; empty: the API has no TCP port.
    """

    store: Store
    engine: Engine
    enforcement: Enforcement
    sessions: LiveSessions
    events: EventHub
    clock: Clock = SYSTEM_CLOCK
    version: str = "0"
    started_at: datetime = field(default_factory=SYSTEM_CLOCK.wall)
    checks: Mapping[str, ReadinessCheck] = field(default_factory=dict)
    gateway_stats: GatewayStats = dict
    kernel: KernelFilter = field(default_factory=NoKernelFilter)
    throttle: Throttle = field(default_factory=Throttle)
    request_metrics: RequestMetrics = field(default_factory=RequestMetrics)
    login_metrics: LoginMetrics = field(default_factory=LoginMetrics)
    state_saves: StateSaves = field(default_factory=StateSaves)
    facts: ServerFacts = field(default_factory=ServerFacts)
    hosts: Collection[str] = ()
    feeds: FeedControl = field(default_factory=NoFeeds)
    time_series: TimeSeries = field(default_factory=TimeSeries)
    reload: Callable[[str], Awaitable[ReloadReport]] | None = None
    needs_restart: Callable[[], Sequence[str]] = tuple
    totp: TotpIssuer | None = None
    settings: SettingsResolver = field(default_factory=lambda: SettingsResolver(VpnSettings()))
    webhooks: WebhookControl = field(default_factory=NoWebhooks)
    webhook_box: SecretBox | None = None
    settings_control: SettingsControl | None = None
    acme: AcmeControl | None = None
    console_url: str = ""
    sign_on: SignOn | None = None
    fleet: FleetNode | None = None
    one_time_codes: OneTimeCodes = field(default_factory=OneTimeCodes)
    rule_listing: RuleListing = field(init=False)
    source_listing: SourceListing = field(init=False)
    token_uses: TokenUses = field(init=False)
    operations: Operations = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule_listing", RuleListing(self.store))  # the dataclass is frozen
        object.__setattr__(self, "source_listing", SourceListing(self.engine, self.clock))
        object.__setattr__(self, "operations", Operations(self.clock))
        object.__setattr__(self, "token_uses", TokenUses(self.store, self.clock))
