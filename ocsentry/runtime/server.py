# SPDX-License-Identifier: GPL-3.0-or-later
"""The composition root: starts all layers in this order, and stops them in reverse.

    store ── engine ── enforcement ── VPN ── API (Unix socket, TCP) ── watcher of the rule files

The policy, all stored blocks and the penalties of the last run are in force before the VPN accepts a client.
The API stops first, so that nothing changes while clients are being disconnected.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from admin_api.clock import SYSTEM_CLOCK
from admin_api.enforcement.engine_state import EngineStateSaver, restore_engine_state
from admin_api.enforcement.kernel_filter import NoKernelFilter
from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from admin_api.metrics.facts import ServerFacts
from admin_api.metrics.login_metrics import LoginMetrics
from admin_api.retention import RETENTION_INTERVAL, remove_old_rows
from admin_api.store import Store
from admin_api.store.failures import StoreInUseError
from admin_api.time_series import SAMPLE_INTERVAL
from admin_api.workers import ControlWorker, make_default_pool
from ocsentry.configuration.overrides import apply_overrides
from ocsentry.configuration.policy_files import WATCHED_SUFFIXES, policy_loader, watched_paths
from ocsentry.late_sessions import LateSessions
from ocsentry.login_methods.context import MethodContext
from ocsentry.observability.decision_events import DELAY, DecisionEvents
from ocsentry.observability.event_catalog import LogEvent
from ocsentry.observability.event_sink import LoggingEventSink
from ocsentry.privileges.packet_filter.follower import FilterFollower
from ocsentry.privileges.packet_filter.kernel_filter import KernelFilter
from ocsentry.privileges.reports import HelperWatch
from ocsentry.rule_sources.feed_refresher import FeedRefresher
from ocsentry.rule_sources.late_fetcher import LateFetcher
from ocsentry.rule_sources.watcher import RuleWatcher
from ocsentry.runtime import memory, metric_facts
from ocsentry.runtime.accounting import open_accounting
from ocsentry.runtime.client_routes import KernelRoutes
from ocsentry.runtime.fleet import fleet_checks, fleet_of, open_fleet
from ocsentry.runtime.hooks import open_hooks
from ocsentry.runtime.live_reload import LiveReload
from ocsentry.runtime.live_settings import read_overrides
from ocsentry.runtime.load_progress import LoadProgress
from ocsentry.runtime.logins import Logins
from ocsentry.runtime.route_watch import INTERVAL as ROUTE_INTERVAL
from ocsentry.runtime.route_watch import RouteWatch
from ocsentry.runtime.service_manager.descriptor_store import store_listeners
from ocsentry.runtime.session_accounts import accounts_file
from ocsentry.setup.certificates import certificate_facts, expiry_problem
from sentry_engine import Action, ClientLimits, Engine, Policy
from sentry_engine.cores.native.core import NativeCore
from sentry_engine.engine.decision_log import DecisionLog
from sentry_engine.engine.saved_state import MAX_SOURCES
from vpn_frontend.gateway.tun import tun_device
from vpn_frontend.kdc_proxy.proxy import KdcProxy
from vpn_frontend.ports import VpnEvent
from vpn_frontend.server import VpnServer
from vpn_frontend.sessions.effective_settings import SettingsResolver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.observability.log import Log
    from ocsentry.privileges.start import Started
    from sentry_engine.policy.feeds import Refresh
    from vpn_frontend.gateway.certificates.server_certificate import ServerCertificate

WATCH_RETRY = 5.0  # seconds
CLAIM_INTERVAL = 5.0  # seconds between two looks at the claim of the database
FEED_INTERVAL = 5.0  # seconds between two checks for missing or old lists
SHORT_LIVED_INTERVAL = 60.0  # seconds until a new revocation list or OCSP response is in force
PENALTY_INTERVAL = 60.0  # seconds between two saves of the engine state: the most that a crash loses
SHUTDOWN_TEXT = "The server is shutting down."


class Server:
    """One server. Call ``start`` once; ``stop`` undoes what ``start`` did, even if it failed."""

    def __init__(self, config: LoadedConfig, log: Log, started: Started) -> None:
        """``started`` is what was opened before the process gave its privileges up."""
        self._config = config
        self._started = started
        self._log = log
        self._hosts = {host.lower() for host in config.values.admin.hosts}
        self._progress = LoadProgress(log, time.monotonic)
        self._hub = EventHub()
        self._login_metrics, self._facts = LoginMetrics(), ServerFacts()
        self._events = LoggingEventSink(log, self._hub, time.monotonic)
        self._helper_watch = HelperWatch(started.helper, started.started_helpers, self._events)
        self._sessions = LateSessions()
        self._control = ControlWorker()
        self._routes = RouteWatch(tun_device(config.vpn), self._events, self._control)
        self._made = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._watch_problem: str | None = None
        self._claim_lost = asyncio.Event()
        self._worker_problem = ""
        self._stuck = asyncio.Event()
        self._suspends = False

    async def start(self) -> None:
        """Start all layers. Raises the error of a layer that cannot start."""
        file = self._config
        paths = watched_paths(file.values.policy)
        files = self._started.rule_files  # read once for both the watcher and the policy
        asyncio.get_running_loop().set_default_executor(make_default_pool())
        self._helper_watch.start()
        self._made.callback(self._helper_watch.stop)
        # A file saved after this point counts as a change.
        self._watcher = await self._control.run(RuleWatcher, paths, WATCHED_SUFFIXES, files.read, self._control.run)
        self._store = await Store.open(file.store_url, serving=True, node=file.values.fleet.name)
        self._made.push_async_callback(self._store.close)
        started = self._started
        fleet = open_fleet(file, self._store, self._events, started.helper.read_key, started.peer_listener)
        self._fleet = await self._made.enter_async_context(fleet)
        overrides = await read_overrides(self._store, file, self._events)
        config = self._config = apply_overrides(file, overrides)
        values = config.values
        self._hosts.clear()
        self._hosts.update(host.lower() for host in values.admin.hosts)
        self._log.set_level(values.log.level)
        self._settings = SettingsResolver(config.vpn, await self._store.group_overrides())
        self._feed_refresher = FeedRefresher(
            values.policy.feeds,
            self._watcher,
            LateFetcher(values.policy.feed_networks),
            max_bytes=values.policy.feed_max_bytes,
        )
        self._report_feeds(await asyncio.to_thread(self._feed_refresher.fetch_missing, time.monotonic()))
        self._engine = self._make_engine()
        self._made.callback(self._engine.close)
        self._kernel = self._make_kernel_filter()
        self._enforcement = Enforcement(
            self._engine,
            self._sessions,
            self._store,
            values.policy.rules,
            events=self._events,
            never_block=values.policy.never_block,
            load=policy_loader(values.policy, self._progress, files.read),
            control=self._control,
            kernel=self._kernel,
            rule_files=files,
            block_rows=None if self._fleet is None else self._fleet.rows,
        )
        self._made.push_async_callback(self._enforcement.stop)
        self._live = LiveReload(
            file,
            overrides,
            control=self._control,
            enforcement=self._enforcement,
            engine=self._engine,
            events=self._events,
            log=self._log,
            hosts=self._hosts,
            resolver=self._settings,
            sessions=self._sessions,
            started=self._started,
            vpn=lambda: self._vpn,
            logins=lambda: self._logins,
            follow=self._follow,
        )
        await self._enforcement.start()
        await self._restore_engine_state()
        if isinstance(self._kernel, FilterFollower):
            self._kernel.start()
            self._made.push_async_callback(self._kernel.stop)
        await self._open_vpn()
        await self._read_facts()
        await self._open_api()
        self._tasks.append(asyncio.create_task(self._watch_rules(), name="watcher of the rule files"))
        self._repeat("claim of the database", CLAIM_INTERVAL, self._renew_claim)
        self._repeat("routes to clients", ROUTE_INTERVAL, self._routes.look)
        self._repeat("penalties", PENALTY_INTERVAL, self._save_engine_state)
        self._repeat("feeds", FEED_INTERVAL, self._refresh_feeds)
        self._repeat("memory", memory.INTERVAL, memory.MemoryRelease(self._policy_size, self._control.run).look)
        self._repeat("facts of metrics", metric_facts.INTERVAL, self._read_facts)
        self._repeat("revocation lists and OCSP responses", SHORT_LIVED_INTERVAL, self._refresh_short_lived)
        retention = values.store.retention.times()
        self._hub.keep_decisions = retention.decisions
        self._repeat("retention", RETENTION_INTERVAL, partial(remove_old_rows, self._store, retention))
        self._repeat("decisions", DELAY, partial(self._decision_events.follow, time.monotonic))
        self._events.emit(LogEvent.READY, version=version("ocsentry"), listen=[str(one) for one in config.vpn.listen])

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._made.aclose()

    def suspend_sessions(self) -> None:
        """Let ``stop`` leave the sessions to another process, which follows at once."""
        self._suspends = True

    async def _stop_vpn(self) -> None:
        await self._vpn.stop(SHUTDOWN_TEXT, suspend=self._suspends or self._fleet is not None)

    async def reload(self) -> None:
        """Reload configuration, rules and certificates. What is wrong changes nothing and is reported."""
        await self._live.reload("signal")

    async def _refresh_short_lived(self) -> None:
        """Revocation lists and OCSP responses are replaced every few hours, by programs that send no signal."""
        if self._live.vpn.has_short_lived_files and await self._control.run(self._vpn.refresh_short_lived):
            self._events.emit(LogEvent.CLIENT_AUTHORITIES_RELOADED)

    def announce_stop(self, reason: str) -> None:
        self._events.emit(LogEvent.STOPPING, reason=reason, sessions=len(self._sessions.list()))

    def _make_engine(self) -> Engine:
        """Returns an engine that rejects every client until ``Enforcement`` puts the policy in force."""
        policy, limits = self._config.values.policy, self._config.vpn.limits
        core, asked = NativeCore(), DecisionLog()
        core.watch(every=1)
        engine = Engine(
            Policy(default=Action.REJECT),
            core=core,
            decisions=asked,
            limits=ClientLimits(limits.max_clients, limits.max_same_clients, limits.on_excess),
            never_block=policy.never_block,
        )
        self._decision_events = DecisionEvents(core, asked, self._events, lambda: engine.policy.geo_lookup)
        self._made.callback(self._decision_events.close)
        return engine

    def _make_kernel_filter(self) -> FilterFollower | NoKernelFilter:
        if self._config.values.policy.kernel == "off":
            return NoKernelFilter()
        return FilterFollower(KernelFilter(self._engine, self._started.helper), self._events)

    async def _restore_engine_state(self) -> None:
        restored = await restore_engine_state(self._store, self._engine, self._control)
        self._engine_state = EngineStateSaver(self._store, self._engine, self._control)
        self._made.push_async_callback(self._save_at_stop)
        if restored.penalties:
            self._events.emit(LogEvent.PENALTIES_RESTORED, count=restored.penalties)
        if restored.malformed:
            self._events.emit(LogEvent.STATE_NOT_RESTORED, rows=restored.malformed, error=restored.problem)

    def _repeat(self, what: str, seconds: float, work: Callable[[], Awaitable[object]]) -> None:
        """Do ``work`` every ``seconds``. A failure is reported, and the work is tried again next time."""

        async def repeat() -> None:
            while True:
                await asyncio.sleep(seconds)
                try:
                    await work()
                except Exception as error:  # noqa: BLE001 - any failure: the server goes on
                    self._events.emit(VpnEvent.BACKEND_FAILED, what=what, error=repr(error))

        self._tasks.append(asyncio.create_task(repeat(), name=what))

    async def _save_engine_state(self) -> None:
        saved = await self._engine_state.save()
        if saved.whole not in ("", "first"):
            self._events.emit(
                LogEvent.STATE_SAVED_WHOLE, reason=saved.whole, sources=saved.sources, seconds=round(saved.seconds, 3)
            )
        if saved.left_out:
            self._events.emit(LogEvent.SOURCES_NOT_NOTED, noted=MAX_SOURCES, left_out=saved.left_out)

    async def _save_at_stop(self) -> None:
        try:
            await self._save_engine_state()
        except Exception as error:  # noqa: BLE001 - any failure: the rest of the stop goes on
            self._events.emit(VpnEvent.BACKEND_FAILED, what="penalties", error=repr(error))

    async def _open_vpn(self) -> None:
        started = self._started
        self._logins = Logins(
            MethodContext(
                self._config,
                self._store,
                self._events,
                started.helper,
                started.totp_key,
                started.pam,
                started.gssapi,
                observe=self._login_metrics,
            )
        )
        self._made.push_async_callback(self._logins.close)
        opened = await self._logins.open()
        reporter = open_accounting(opened.context, self._sessions)
        self._accounting = await self._made.enter_async_context(reporter)
        self._kdc_proxy = KdcProxy(self._config.vpn.kdc_proxy, self._events, opened.pages)
        hooks = await self._made.enter_async_context(open_hooks(started.hooks, started.pam, self._config, self._events))
        client_routes = await self._made.enter_async_context(KernelRoutes(started.helper, self._events).running())
        self._routes.watch(client_routes)
        self._vpn = VpnServer(
            self._config.vpn,
            engine=self._engine,
            users=opened.accounts.own.users,
            methods=opened.accounts.own.methods,
            pages=self._kdc_proxy,
            journal=self._store,
            events=self._events,
            descriptors=self._started.descriptors,
            read_file=self._started.helper.read_key,
            signing=self._started.helper if self._started.descriptors.signers else None,
            worker_filter=self._started.worker_filter or b"",
            resolver=self._settings,
            accounting=self._accounting,
            hooks=hooks,
            settings_files=opened.accounts.own.settings_files,
            client_routes=client_routes,
            accounts_file=accounts_file(self._config),
            host_accounts=opened.accounts.of_hosts,
            fleet=fleet_of(self._fleet),
        )
        await self._vpn.start()
        self._made.push_async_callback(self._stop_vpn)
        store_listeners(self._config, self._started)
        self._sessions.attach(self._vpn.sessions)

    def _follow(self, config: LoadedConfig) -> None:
        """What a reload renews beside the VPN."""
        self._kdc_proxy.use(config.vpn.kdc_proxy)
        if self._accounting is not None:
            self._accounting.updates.interval = config.values.accounting.interim

    async def _open_api(self) -> None:
        """Its libraries take as long to load as all the rest: in a thread, while clients log in already."""
        api = await asyncio.to_thread(import_module, "ocsentry.runtime.admin.api")
        layers = api.Layers(
            config=self._config,
            started=self._started,
            store=self._store,
            engine=self._engine,
            enforcement=self._enforcement,
            sessions=self._sessions,
            hub=self._hub,
            events=self._events,
            kernel=self._kernel,
            login_metrics=self._login_metrics,
            state_saves=self._engine_state.saves,
            facts=self._facts,
            hosts=self._hosts,
            live=self._live,
            feeds=self._feed_refresher,
            settings=self._settings,
            fleet=self._fleet,
            vpn=self._vpn,
        )
        checks = {
            "configuration": self._live.check,
            "certificate": self._check_certificate,
            "watcher of the rule files": self._check_watcher,
            "helper process": self._helper_watch.check,
            "signing process": self._check_signing,
            "TUN device": self._check_tun,
            "routes to clients": self._routes.check,
            "workers": self._check_workers,
            "packet filter": self._check_kernel_filter,
            **fleet_checks(self._fleet),
            **{one.name: one.check for one in self._started.started_helpers},
        }
        sampler = await self._made.enter_async_context(api.open_api(layers, checks))
        self._repeat("statistics", SAMPLE_INTERVAL, sampler.take)

    async def _renew_claim(self) -> None:
        """Take the claim again after the database was away. Another server may have been faster: then this one ends."""
        try:
            await self._store.claim.renew()
        except StoreInUseError:
            self._claim_lost.set()

    async def _refresh_feeds(self) -> None:
        results = await self._feed_refresher.refresh_all(time.monotonic())
        self._report_feeds(results)
        if any(result.changed for result in results):
            await self._enforcement.refresh_lists(by="feeds")

    def _report_feeds(self, results: Sequence[Refresh]) -> None:
        for result in results:
            if result.problem:
                self._events.emit(LogEvent.FEED_FAILED, feed=result.feed, error=result.problem)
            elif result.changed:
                self._events.emit(LogEvent.FEED_UPDATED, feed=result.feed, entries=result.entries)

    def _policy_size(self) -> tuple[int, int]:
        status = self._enforcement.status()
        return status.version, status.rules

    async def _read_facts(self) -> None:
        read = self._started.helper.read_key
        own = self._vpn.certificates()[0]
        await self._control.run(metric_facts.read_facts, self._config, self._feed_refresher, read, own, self._facts)

    async def _check_certificate(self) -> str | None:
        """The certificates in use. Files are read by a reload alone, so no helper that hangs delays this."""
        return next(filter(None, map(self._expiry_problem, self._vpn.certificates())), None)

    def _expiry_problem(self, certificate: ServerCertificate) -> str | None:
        return expiry_problem(certificate_facts(certificate), SYSTEM_CLOCK.wall())

    async def _check_signing(self) -> str | None:
        return self._vpn.find_signing_problem()

    async def wait_for_failure(self) -> str:
        """Waits until the server can serve no more. Returns why, for the operator."""
        failures = [(self._vpn.tun_lost, self._tun_problem), (self._claim_lost, _describe_lost_claim)]
        failures.append((self._stuck, lambda: self._worker_problem))
        waiting = [asyncio.create_task(event.wait()) for event, _ in failures]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
        return next(describe() for event, describe in failures if event.is_set())

    def worker_turns(self) -> Sequence[int]:
        return self._vpn.worker_turns()

    def report_stuck(self, workers: Sequence[int]) -> None:
        """The watchdog found ``workers`` stuck. The server is not ready, and fails."""
        self._worker_problem = f"workers are stuck: {', '.join(map(str, workers))}"
        self._events.emit(LogEvent.WORKER_STUCK, workers=list(workers))
        self._stuck.set()

    async def _check_workers(self) -> str | None:
        return self._worker_problem or None

    def _tun_problem(self) -> str:
        return f"the TUN device {self._config.vpn.network.device} was deleted"

    async def _check_tun(self) -> str | None:
        return self._tun_problem() if self._vpn.tun_lost.is_set() else self._vpn.find_tun_problem()

    async def _check_kernel_filter(self) -> str | None:
        return None if isinstance(self._kernel, NoKernelFilter) else await self._kernel.check()

    async def _check_watcher(self) -> str | None:
        """A watch that works again ends the problem: it has compared all files since."""
        if self._watcher.watching:
            self._watch_problem = None
        return self._watch_problem

    async def _watch_rules(self) -> None:
        """Reload after each change. A broken watch (a kernel limit, for example) is reported and retried."""
        while True:
            try:
                async for _ in self._watcher.changes():
                    await self._enforcement.reload(by="file watcher", automatic=True)
                    self._watch_problem = None
            except Exception as error:  # noqa: BLE001 - reported by /readyz; SIGHUP and the API still reload
                self._watch_problem = repr(error)
                self._events.emit(LogEvent.WATCH_LOST, error=repr(error))
            await asyncio.sleep(WATCH_RETRY)


def _describe_lost_claim() -> str:
    return "another server has taken the database"
