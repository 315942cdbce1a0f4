# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for what keeps a server from working, and says how to mend it. Opens and reads, changes nothing."""

from __future__ import annotations

import errno
import importlib
import os
import socket
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ocsentry.configuration.policy_files import load_policy
from ocsentry.setup.certificates import EXPIRY_WARNING, CertificateError, expiry_problem, inspect_pair, utc_now
from sentry_engine import PolicyError, find_oddities
from vpn_frontend.validation import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ocsentry.configuration.model import LoadedConfig
    from vpn_frontend.settings import Endpoint

TUN_DEVICE = Path("/dev/net/tun")
FORWARDING = {"IPv4": Path("/proc/sys/net/ipv4/ip_forward"), "IPv6": Path("/proc/sys/net/ipv6/conf/all/forwarding")}
SYSCTL_KEYS = {"IPv4": "net.ipv4.ip_forward", "IPv6": "net.ipv6.conf.all.forwarding"}
NATIVE_CORES = ("sentry_engine.cores.native_core", "vpn_frontend.gateway.native_gateway")
CLOCK_FLOOR = datetime(2025, 1, 1, tzinfo=UTC)  # earlier than any build: a clock before it was never set
READABLE_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``fix`` is what to do about it, empty where nothing need be done."""

    check: str
    level: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""


def examine(config: LoadedConfig) -> list[Finding]:
    """Everything there is to look at, in the order of what depends on what."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings += check(config)
        except OSError as error:
            name = check.__name__.removeprefix("_")
            findings.append(Finding(name, "fail", f"{error.filename or ''}: {error.strerror}", "see the error"))
    return findings


def _native_cores(_: LoadedConfig) -> Iterator[Finding]:
    for name in NATIVE_CORES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            yield Finding(name, "fail", str(error), "build it: make build")
        else:
            yield Finding(name, "ok", "loads, and has the ABI that this version wants")


def _tun(_: LoadedConfig) -> Iterator[Finding]:
    try:
        os.close(os.open(TUN_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        yield Finding(
            "TUN device", "fail", f"{TUN_DEVICE} is missing", "modprobe tun (in a container: pass the device in)"
        )
    except OSError as error:
        fix = "run as root, or give the service CAP_NET_ADMIN and the device"
        yield Finding("TUN device", "fail", f"{TUN_DEVICE}: {error.strerror}", fix)
    else:
        yield Finding("TUN device", "ok", f"{TUN_DEVICE} opens")


def _ports(config: LoadedConfig) -> Iterator[Finding]:
    vpn = config.vpn
    wanted = [(endpoint, socket.SOCK_STREAM) for endpoint in vpn.listen]
    if vpn.dtls:
        wanted += [(endpoint, socket.SOCK_DGRAM) for endpoint in vpn.dtls_listen or vpn.listen]
    if config.values.admin.listen is not None:
        wanted.append((config.values.admin.listen, socket.SOCK_STREAM))
    for endpoint, kind in wanted:
        yield _port(endpoint, kind)


def _port(endpoint: Endpoint, kind: socket.SocketKind) -> Finding:
    name = f"{'TCP' if kind is socket.SOCK_STREAM else 'UDP'} {endpoint}"
    family = socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind is socket.SOCK_STREAM:  # for what a server left in TIME_WAIT; UDP has none, and would share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((str(endpoint.address), endpoint.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return Finding(name, "warn", "in use: by this server if it runs", "else see: ss -lntup")
            return Finding(name, "fail", error.strerror or "cannot be bound", "run as root, or name another address")
    return Finding(name, "ok", "free")


def _certificate(config: LoadedConfig) -> Iterator[Finding]:
    vpn = config.values.vpn
    try:
        facts = inspect_pair(vpn.certificate, vpn.private_key)
    except CertificateError as error:
        yield Finding("certificate", "fail", str(error), "ocsentry init --dir NEW shows a working pair")
        return
    now = utc_now()
    if problem := expiry_problem(facts, now):
        yield Finding("certificate", "fail", f"{vpn.certificate}: {problem}", "renew it, then SIGHUP")
    elif facts.not_after - now < EXPIRY_WARNING:
        yield Finding("certificate", "warn", f"expires {facts.not_after:%Y-%m-%d}", "renew it, then SIGHUP")
    else:
        yield Finding("certificate", "ok", f"{facts.subject}, until {facts.not_after:%Y-%m-%d}, {facts.pin}")
    if not facts.names:
        yield Finding("certificate names", "warn", "no subjectAltName: clients check nothing else", "have it reissued")
    elif facts.self_signed:
        fix = "clients need --servercert with the pin; for phones get one from a known authority"
        yield Finding("certificate names", "warn", f"self-signed for {', '.join(facts.names)}", fix)
    else:
        yield Finding("certificate names", "ok", ", ".join(facts.names))


def _rules(config: LoadedConfig) -> Iterator[Finding]:
    try:
        policy = load_policy(config.values.policy)
    except PolicyError as error:
        for problem in error.problems:
            yield Finding("rules", "fail", str(problem), "mend the file; the server keeps the policy it has")
        return
    yield Finding("rules", "ok", f"{len(policy.files)} files")
    for oddity in find_oddities(policy):
        yield Finding("rules", "warn", str(oddity), "see docs/policy.md")


def _inner_network(config: LoadedConfig) -> Iterator[Finding]:
    files = (str(config.vpn.certificate), str(config.vpn.private_key))  # what is wrong there is said already
    problems = [problem for problem in validate(config.vpn) if not problem.startswith(files)]
    for problem in problems:
        yield Finding("network", "fail", problem, f"change it in {config.path}")
    if not problems:
        yield Finding("network", "ok", "pools overlap nothing that this host uses")


def _forwarding(config: LoadedConfig) -> Iterator[Finding]:
    network = config.vpn.network
    for family, pool in (("IPv4", network.ipv4_pool), ("IPv6", network.ipv6_pool)):
        if pool is None:
            continue
        if FORWARDING[family].read_text().strip() == "1":
            yield Finding(f"{family} forwarding", "ok", "on")
        else:
            fix = f"echo '{SYSCTL_KEYS[family]} = 1' >> /etc/sysctl.d/60-ocsentry.conf; sysctl --system"
            yield Finding(f"{family} forwarding", "warn", "off: clients reach this host only", fix)


def _clock(_: LoadedConfig) -> Iterator[Finding]:
    now = utc_now()
    if now < CLOCK_FLOOR:
        yield Finding("clock", "fail", f"{now:%Y-%m-%d %H:%M} UTC cannot be", "set it; run a time service")
    else:
        yield Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _permissions(config: LoadedConfig) -> Iterator[Finding]:
    key = config.values.vpn.private_key
    if key.exists() and key.stat().st_mode & READABLE_BY_OTHERS:
        yield Finding("private key", "fail", f"{key} can be read by others", f"chmod 600 {key}")
    database = _database_file(config)
    if database is not None and database.exists() and database.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        yield Finding("database", "warn", f"{database} can be read by everybody", f"chmod 640 {database}")


def _database(config: LoadedConfig) -> Iterator[Finding]:
    database = _database_file(config)
    if database is None:
        yield Finding("database", "ok", "not a file; the server says at start whether it answers")
        return
    place = database if database.exists() else database.parent
    if os.access(place, os.W_OK) and os.access(database.parent, os.W_OK):
        yield Finding("database", "ok", f"{database} {'is writable' if database.exists() else 'will be made'}")
    else:
        yield Finding("database", "fail", f"{place} is not writable", "give file and folder to the server's user")


def _database_file(config: LoadedConfig) -> Path | None:
    scheme, separator, name = config.store_url.partition("sqlite:///")
    return Path(name) if separator and not scheme else None


CHECKS: tuple[Callable[[LoadedConfig], Iterator[Finding]], ...] = (
    _native_cores,
    _tun,
    _ports,
    _certificate,
    _rules,
    _inner_network,
    _forwarding,
    _clock,
    _permissions,
    _database,
)
