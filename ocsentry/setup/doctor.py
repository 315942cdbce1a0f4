# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the host and the configuration, and says how to fix what is wrong. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocsentry.setup.checks import certificate, files, host, network, policy
from ocsentry.setup.checks.result import CheckResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ocsentry.configuration.model import LoadedConfig

CHECKS: tuple[Callable[[LoadedConfig], Iterator[CheckResult]], ...] = (
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
    files.check_private_keys,
    files.check_privileges,
    files.check_access,
    policy.check_kernel_filter,
    files.check_database,
)


def run_checks(config: LoadedConfig) -> list[CheckResult]:
    """Run all checks, basic ones first."""
    results: list[CheckResult] = []
    for check in CHECKS:
        try:
            results += check(config)
        except OSError as error:
            name = check.__name__.removeprefix("check_").replace("_", " ")
            results.append(CheckResult(name, "fail", f"{error.filename or ''}: {error.strerror}", "see the error"))
    return results
