# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the host and the configuration, and says how to fix what is wrong. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocsentry.setup.checks import certificate, files, fleet, host, kerberos, network, policy
from ocsentry.setup.checks.result import CheckResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ocsentry.configuration.model import LoadedConfig

    Check = Callable[[LoadedConfig], Iterator[CheckResult]]

CHECKS: tuple[Check, ...] = (
    host.check_native_cores,
    host.check_driver,
    host.check_tun,
    host.check_ports,
    certificate.check_certificates,
    policy.check_rules,
    policy.check_names,
    network.check_inner_network,
    network.check_ipv6,
    network.check_routes,
    network.check_forwarding,
    network.check_client_guard,
    network.check_resolver,
    host.check_clock,
    kerberos.check_kerberos,
    files.check_private_keys,
    files.check_privileges,
    files.check_access,
    policy.check_kernel_filter,
    files.check_database,
    fleet.check_fleet,
)

# Of these a failure keeps the server from its start.
START_CHECKS = (host.check_driver, host.check_tun, host.check_ports, network.check_ipv6)


def find_start_failures(config: LoadedConfig) -> list[str]:
    """Returns one line for each thing of the host that keeps the server from its start."""
    results = run_checks(config, START_CHECKS)
    return [f"{result.check}: {result.detail}" for result in results if result.level == "fail"]


def run_checks(config: LoadedConfig, checks: Iterable[Check] = CHECKS) -> list[CheckResult]:
    """Run the checks, in order: basic ones come first."""
    results: list[CheckResult] = []
    for check in checks:
        try:
            results += check(config)
        except OSError as error:
            name = check.__name__.removeprefix("check_").replace("_", " ")
            results.append(CheckResult(name, "fail", f"{error.filename or ''}: {error.strerror}", "see the error"))
    return results
