# SPDX-License-Identifier: GPL-3.0-or-later
"""Other virtual hosts, certificates and rules of logins for a running server: opened first, then put in force at once.

The process has given its privileges up. So what is new has to be within its reach: files in the folders that the start
knew, which the helper reads if the configuration names them, and methods that need nothing from before the drop.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from ocsentry.privileges.helper.configured import scope_of
from ocsentry.runtime.logins import RestartNeededError
from sentry_engine.records import dataclass
from vpn_frontend.gateway.certificates.server_certificate import CertificateError
from vpn_frontend.gateway.interface import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack
    from pathlib import Path

    from admin_api.workers import ControlWorker
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.helper.client import Helper
    from ocsentry.runtime.logins import Logins
    from vpn_frontend.gateway.interface import TlsHost
    from vpn_frontend.host_accounts import Accounts
    from vpn_frontend.server import VpnServer
    from vpn_frontend.settings import Network, VpnSettings

LIFETIMES = 2.5  # times `auth.timeout`: the longest that a connection without a tunnel lives is two of them
OUT_OF_REACH = frozenset({errno.EACCES, errno.EPERM})
READ_LATER = ("vpn.", "auth.certificate.", "auth.ocpasswd_file", "auth.oath_file")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What ``put_in_force`` needs. ``opened`` belongs to it, or to the caller if that fails."""

    config: LoadedConfig
    settings: VpnSettings
    accounts: Accounts
    tls: tuple[TlsHost, ...]
    opened: AsyncExitStack


class Renewal:
    """``vpn`` and ``logins`` return what is made after this object. ``follow`` is told what is in force."""

    def __init__(
        self,
        helper: Helper,
        control: ControlWorker,
        vpn: Callable[[], VpnServer],
        logins: Callable[[], Logins],
        follow: Callable[[LoadedConfig], None],
    ) -> None:
        self._helper, self._control, self._vpn, self._logins, self._follow = helper, control, vpn, logins, follow

    async def prepare(self, config: LoadedConfig, settings: VpnSettings, running: VpnSettings) -> Prepared:
        """``settings`` are those to come, with what cannot change as it runs.

        Raises ``RestartNeededError`` for what waits for a restart, and ``OperatorError`` or ``CertificateError`` for
        what is wrong; nothing has changed then.
        """
        if (obstacle := self._logins().find_obstacle(config) or _find_pool(settings, running)) is not None:
            raise RestartNeededError(obstacle)
        try:
            await self._control.run(self._reach, config)
            accounts, opened = await self._open(config)
        except (OSError, OperatorError) as error:
            raise _explain(error) from error
        try:
            tls = await self._control.run(self._vpn().load_tls, settings)
        except BaseException as error:
            await opened.aclose()
            raise (_explain(error) if isinstance(error, CertificateError) else error) from error
        return Prepared(config, settings, accounts, tls, opened)

    def put_in_force(self, prepared: Prepared) -> None:
        """Raises ``GatewayError``, then nothing has changed."""
        self._vpn().renew(prepared.settings, prepared.accounts, prepared.tls)
        self._follow(prepared.config)
        self._logins().take(prepared.opened, LIFETIMES * prepared.settings.auth.timeout)

    async def _open(self, config: LoadedConfig) -> tuple[Accounts, AsyncExitStack]:
        opened, stack = await self._logins().reopen(config)
        return opened.accounts, stack

    def _reach(self, config: LoadedConfig) -> None:
        """Name the files to the helper, and look into the folders. Raises ``OSError``."""
        scope = scope_of(config)
        files = {path: key for key, path in scope.files.items() if key.startswith(READ_LATER)}
        private = {path for path, key in files.items() if key in scope.private_files}
        self._helper.name_files([path for path in files if path not in private], private)
        values = config.values.vpn
        places = [values.user_config_dir, values.group_config_dir]
        places += [one for host in values.host for one in (host.user_config_dir, host.group_config_dir)]
        for place in places:
            if place is not None:
                _look_into(place)


def _look_into(folder: Path) -> None:
    """A folder that is missing has no files yet, as at the start."""
    with suppress(FileNotFoundError):
        os.scandir(folder).close()


def _find_pool(settings: VpnSettings, running: VpnSettings) -> str | None:
    """A pool that the start did not have is opened with its first session, if it is where fixed addresses may be."""
    known = {running.network.ipv4_pool, running.network.ipv6_pool, *running.more_pools()}
    for pool, where in settings.more_pools().items():
        if pool not in known and not any(_is_inside(pool, outer) for outer in settings.addresses_within):
            return f"the pool {pool} of {where} is outside vpn.addresses_within"
    return None


def _is_inside(pool: Network, outer: Network) -> bool:
    same_family = isinstance(pool, IPv4Network) is isinstance(outer, IPv4Network)
    return same_family and pool.subnet_of(outer)  # type: ignore[arg-type]  # of the same family


def _explain(error: OSError | OperatorError | CertificateError) -> OperatorError | CertificateError:
    """What the process can no longer reach waits for a restart; the rest is wrong."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in OUT_OF_REACH:
            return RestartNeededError(f"{error}; the start did not know its folder")
        cause = cause.__cause__
    return OperatorError(str(error)) if isinstance(error, OSError) else error


RenewalError = (OperatorError, CertificateError, GatewayError)
