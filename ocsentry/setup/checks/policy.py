# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules, the lists that they name, names of servers, and the packet filter in the kernel."""

from __future__ import annotations

import contextlib
import socket
import time
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ocsentry.configuration.policy_files import load_policy, watched_paths
from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.packet_filter.counters import CounterSocket
from ocsentry.privileges.packet_filter.libnftables import Nftables
from ocsentry.privileges.packet_filter.table import COUNTERS, table_name
from ocsentry.rule_sources.feeds_in_rules import FeedsInRules
from ocsentry.setup.checks.result import CheckResult
from ocsentry.setup.checks.running import server_process
from ocsentry.setup.service_user import ServiceUser
from sentry_engine import PolicyError, find_policy_issues
from sentry_engine.policy.lint import FindingKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocsentry.configuration.model import LoadedConfig

RESOLVER_DEADLINE = 5.0  # seconds for all names together
MAX_NAMES = 32


def check_rules(config: LoadedConfig) -> Iterator[CheckResult]:
    """The rules as the server's user reads them."""
    try:
        with ServiceUser.find(config).borrowed():
            policy = load_policy(config.values.policy)
    except PrivilegeError:
        return  # _privileges reports it
    except PolicyError as error:
        for problem in error.problems:
            fix = "fix the file; until then the server keeps its present policy, and does not start again"
            yield CheckResult("rules", "fail", str(problem), fix)
        return
    yield CheckResult("rules", "ok", f"{len(policy.files)} files")
    running = server_process(config) is not None
    for oddity in find_policy_issues(policy):
        if oddity.kind is not FindingKind.NOT_FETCHED:
            yield CheckResult("rules", "warn", str(oddity), "see docs/policy.md")
        elif running:
            fix = "see `ocsentry events --kind feed_failed`, and whether this host reaches the URL"
            yield CheckResult("feeds", "warn", str(oddity), fix, f"ocsentry feeds refresh {oddity.rule_id}")
        else:
            yield CheckResult("feeds", "ok", f"{oddity.rule_id} was never downloaded: the server does it at its start")


def check_names(config: LoadedConfig) -> Iterator[CheckResult]:
    """Whether the names of servers that the configuration and its rules need have addresses."""
    names = dict(list(_named_servers(config))[:MAX_NAMES])
    if not names:
        return
    found: set[str] = set()
    lookups = [Thread(target=_look_up, args=(name, found), daemon=True) for name in names]
    end = time.monotonic() + RESOLVER_DEADLINE
    for lookup in lookups:
        lookup.start()
    for lookup in lookups:
        lookup.join(max(0.0, end - time.monotonic()))
    failed = [name for name in names if name not in found]
    for name in failed:
        detail = f"{name} ({names[name]}) has no address"
        yield CheckResult("names of servers", "warn", detail, "correct the name, or see /etc/resolv.conf")
    if not failed:
        yield CheckResult("names of servers", "ok", f"{len(names)} resolve")


def _look_up(name: str, found: set[str]) -> None:
    with contextlib.suppress(OSError, UnicodeError):
        socket.getaddrinfo(name, None)
        found.add(name)


def _named_servers(config: LoadedConfig) -> Iterator[tuple[str, str]]:
    """Yields hosts with the key that names them."""
    auth, methods = config.values.auth, config.vpn.method_names()
    found: list[tuple[str | None, str]] = []
    if "ldap" in methods:
        found += [(urlsplit(url).hostname, "auth.ldap.url") for url in auth.ldap.url]
    if "oidc" in methods:
        found.append((urlsplit(auth.oidc.issuer).hostname, "auth.oidc.issuer"))
    if config.values.admin.oidc.is_used:
        found.append((urlsplit(config.values.admin.oidc.issuer).hostname, "admin.oidc.issuer"))
    feeds = FeedsInRules(watched_paths(config.values.policy)).read(None)
    found += [(urlsplit(feed.url).hostname, f"feed {feed.id}") for feed in feeds if feed.url is not None]
    yield from ((name, key) for name, key in found if name)


def check_kernel_filter(config: LoadedConfig) -> Iterator[CheckResult]:
    """What the kernel drops for the policy. The counters need root."""
    name = "packet filter"
    if config.values.policy.kernel == "off":
        return
    try:
        Nftables().close()
    except PrivilegeError as error:
        yield CheckResult(name, "fail", str(error), "install the library", "apt-get install -y libnftables1")
        return
    table = table_name(config.vpn.network.device)
    try:
        with CounterSocket() as counters:
            dropped = sum(counters.read(table, counter).packets for counter in COUNTERS.values())
    except FileNotFoundError:
        yield CheckResult(name, "ok", f"no server runs; it will make the table {table}, and the kernel will drop by it")
    except OSError as error:
        yield CheckResult(name, "warn", f"cannot be read: {error.strerror}", "run the doctor as root")
    else:
        yield CheckResult(name, "ok", f"the kernel has dropped {dropped} packets by the table inet {table}")
