# SPDX-License-Identifier: GPL-3.0-or-later
"""A reload: the configuration's file, then rules, then certificates.

A file that is wrong changes nothing: neither its own keys, nor rules, nor certificates.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from admin_api.enforcement.reports import ReloadReport
from ocsentry.configuration.changes import NEVER_BLOCK, PRE_LOGIN_BANNER, Difference, RunningConfiguration
from ocsentry.configuration.model import ConfigError
from ocsentry.configuration.overrides import SettingError, apply_overrides
from ocsentry.observability.event_catalog import LogEvent
from ocsentry.runtime.admin.api_certificate import renew_certificate
from ocsentry.runtime.logins import RestartNeededError
from ocsentry.runtime.renewal import Renewal, RenewalError
from sentry_engine import ClientLimits
from sentry_engine.records import dataclass
from vpn_frontend.gateway.certificates.server_certificate import CertificateError
from vpn_frontend.gateway.interface import GatewayError
from vpn_frontend.ports import VpnEvent
from vpn_frontend.validation import validate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from admin_api.enforcement.reports import PolicyReport
    from admin_api.enforcement.service import Enforcement
    from admin_api.workers import ControlWorker
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.late_sessions import LateSessions
    from ocsentry.observability.log import Log
    from ocsentry.privileges.start import Started
    from ocsentry.runtime.logins import Logins
    from sentry_engine import Engine
    from vpn_frontend.ports import EventSink
    from vpn_frontend.server import VpnServer
    from vpn_frontend.sessions.effective_settings import SettingsResolver
    from vpn_frontend.settings import VpnSettings


@dataclass(frozen=True, slots=True)
class Overridden:
    """Keys that are in force now, or would be, and disconnected sessions."""

    in_force: Sequence[str]
    sessions_cut: int = 0


class LiveReload:
    """One reload at a time. ``vpn`` returns the VPN, which is made after this object."""

    def __init__(
        self,
        config: LoadedConfig,
        overrides: Mapping[str, Any],
        *,
        control: ControlWorker,
        enforcement: Enforcement,
        engine: Engine,
        events: EventSink,
        log: Log,
        hosts: set[str],
        resolver: SettingsResolver,
        sessions: LateSessions,
        started: Started,
        vpn: Callable[[], VpnServer],
        logins: Callable[[], Logins],
        follow: Callable[[LoadedConfig], None],
    ) -> None:
        """``config`` is the file's, ``overrides`` are those of the API over it. ``hosts``: changed in place."""
        self._config = config
        self._running = RunningConfiguration(apply_overrides(config, overrides))
        self.file = config  # as it was read last
        self.overrides = overrides
        self._control, self._enforcement, self._engine, self._events = control, enforcement, engine, events
        self._log, self._hosts, self._resolver, self._sessions = log, hosts, resolver, sessions
        self._started, self._vpn = started, vpn
        self._renewal = Renewal(started.helper, control, vpn, logins, follow)
        self._lock = asyncio.Lock()
        self._problems: tuple[str, ...] = ()
        self.needs_restart: tuple[str, ...] = ()

    @property
    def vpn(self) -> VpnSettings:
        """The settings that are in force."""
        return self._running.vpn

    async def check(self) -> str | None:
        """The readiness check: what the last reload refused."""
        return "; ".join(self._problems) or None

    async def reload(self, by: str) -> ReloadReport:
        async with self._lock:
            try:
                new = await self._control.run(self._config.read_again)
            except ConfigError as error:
                if not isinstance(error.__cause__, OSError):
                    return self._refuse(error.problems)
                # The file cannot be read by the server's user: rules and certificates can be, all the same.
                self._events.emit(LogEvent.CONFIGURATION_REFUSED, problems=list(error.problems))
                return await self._reload_others(by, Difference())
            try:
                merged = apply_overrides(new, self.overrides)
            except SettingError as error:  # an override that does not go with what the file has now
                return self._refuse((f"{new.path}: settings: {error}",))
            difference = self._running.compare(merged)
            problems = await self._control.run(self._find_problems, merged, difference)
            if problems:
                return self._refuse(problems)
            try:
                difference, reason = await self._renew(merged, difference)
            except RenewalError as error:
                return self._refuse((str(error),))
            if NEVER_BLOCK in difference.live:
                await self._enforcement.set_never_block(merged.values.policy.never_block)
            self._put_in_force(merged, difference)
            names = tuple(merged.describe(key) for key in difference.restart)
            self.needs_restart = (*names, reason) if reason else names
            self._problems, self.file = (), new
            return await self._reload_others(by, difference)

    async def _renew(self, merged: LoadedConfig, difference: Difference) -> tuple[Difference, str]:
        """Put in force what is renewed together. Where that waits for a restart: a difference that says so, and why.

        Raises one of ``RenewalError``.
        """
        if not difference.renewed:
            return difference, ""
        try:
            prepared = await self._renewal.prepare(merged, self._running.merge(merged, difference), self.vpn)
        except RestartNeededError as error:
            waiting = tuple(sorted((*difference.restart, *difference.renewed)))
            return Difference(difference.live, waiting), str(error)
        try:
            self._renewal.put_in_force(prepared)
        except BaseException:
            await prepared.opened.aclose()
            raise
        return difference, ""

    async def override(self, overrides: Mapping[str, Any], store: Callable[[], Awaitable[None]] | None) -> Overridden:
        """Put other overrides in force once ``store`` has kept them; ``None``: only say what that would do.

        Raises ``SettingError`` if one cannot be used, and what ``store`` raises; nothing has changed then.
        """
        merged = apply_overrides(self.file, overrides)
        difference = self._running.compare(merged)
        problems = await self._control.run(self._find_problems, merged, difference)
        if problems:
            raise SettingError(next(iter(difference.live), "settings"), problems[0])
        if store is None:
            return Overridden(difference.live)
        await store()
        self.overrides = overrides
        return Overridden(difference.live, self._put_in_force(merged, difference))

    def locked(self) -> asyncio.Lock:
        """The lock of reloads and overrides."""
        return self._lock

    def _refuse(self, problems: tuple[str, ...]) -> ReloadReport:
        self._problems = problems
        self._events.emit(LogEvent.CONFIGURATION_REFUSED, problems=list(problems))
        return ReloadReport(problems=problems, needs_restart=self.needs_restart)

    def _find_problems(self, new: LoadedConfig, difference: Difference) -> tuple[str, ...]:
        """What the configuration's model cannot see. Problems of the certificate are told by its own reload."""
        if difference == Difference():
            return ()
        return tuple(f"{new.path}: {problem}" for problem in validate(new.vpn, host_networks=(), read_files=False))

    def _put_in_force(self, new: LoadedConfig, difference: Difference) -> int:
        """Returns how many sessions were disconnected."""
        settings = self._running.take(new, difference)
        if not difference.live and not difference.renewed:
            return 0
        limits = settings.limits
        self._engine.set_limits(ClientLimits(limits.max_clients, limits.max_same_clients, limits.on_excess))
        self._resolver.set_settings(settings)
        cut = len(self._sessions.change_groups(self._resolver.api_groups()))
        if PRE_LOGIN_BANNER in difference.live:
            self._vpn().hosts.show_pre_login_banner(settings.auth.pre_login_banner)
        if "admin.hosts" in difference.live:
            self._hosts.clear()
            self._hosts.update(host.lower() for host in new.values.admin.hosts)
        if "log.level" in difference.live:
            self._log.set_level(new.values.log.level)
        return cut

    async def _reload_others(self, by: str, difference: Difference) -> ReloadReport:
        policy = await self._reload_rules(by)
        problems = tuple(await self._reload_certificates())
        in_force = tuple(sorted((*difference.live, *difference.renewed)))
        if difference != Difference():
            restart = list(self.needs_restart)
            self._events.emit(LogEvent.CONFIGURATION_RELOADED, in_force=list(in_force), needs_restart=restart, by=by)
        return ReloadReport(in_force, self.needs_restart, problems, policy)

    async def _reload_rules(self, by: str) -> PolicyReport | None:
        try:
            return await self._enforcement.reload(by=by)
        except Exception as error:  # noqa: BLE001 - the store, for example: the next reload tries again
            self._events.emit(VpnEvent.BACKEND_FAILED, what="reload of the rules", error=repr(error))
            return None

    async def _reload_certificates(self) -> list[str]:
        """Returns the problems; a certificate that has one stays as it was."""
        config, started, problems = self._config, self._started, []
        pairs: list[tuple[Path, Callable[[], None]]] = [(self.vpn.certificate, self._vpn().reload_certificate)]
        admin, context = config.values.admin, started.api_tls
        if context is not None and admin.certificate is not None and admin.private_key is not None:
            read = started.helper.read_key
            api_pair = (admin.certificate, admin.private_key)
            pairs.append((admin.certificate, partial(renew_certificate, context, *api_pair, read)))
        for path, renew in pairs:
            try:
                await self._control.run(renew)
            except (CertificateError, GatewayError, OSError, ValueError) as error:  # ssl.SSLError is an OSError
                problem = str(error) if path.name in str(error) else f"{path}: {error}"
                problems.append(problem)
                self._events.emit(LogEvent.CERTIFICATE_REFUSED, error=problem)
            else:
                self._events.emit(LogEvent.CERTIFICATE_RELOADED, certificate=str(path))
        return problems
