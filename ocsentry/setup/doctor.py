# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the host and the configuration, and says how to fix what is wrong. Changes nothing."""

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

from cryptography import x509

from ocsentry.api_client.client import ClientError, SocketClient
from ocsentry.configuration.policy_files import load_policy
from ocsentry.privileges.checks import find_remarks
from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.packet_filter.counters import CounterSocket
from ocsentry.privileges.packet_filter.libnftables import Nftables
from ocsentry.privileges.packet_filter.table import COUNTERS, table_name
from ocsentry.setup.certificates import EXPIRY_WARNING, CertificatePairError, expiry_problem, inspect_pair, utc_now
from ocsentry.setup.client_guard import guarded_families, read_ruleset
from ocsentry.setup.listening_ports import uses_port
from sentry_engine import PolicyError, find_policy_issues
from vpn_frontend.gateway.ocsp_response import ResponseError, check_response
from vpn_frontend.gateway.server_certificate import CertificateError, read_file
from vpn_frontend.validation import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ocsentry.configuration.model import LoadedConfig
    from vpn_frontend.settings import CertificateFiles, Endpoint

TUN_DEVICE = Path("/dev/net/tun")
FORWARDING = {"IPv4": Path("/proc/sys/net/ipv4/ip_forward"), "IPv6": Path("/proc/sys/net/ipv6/conf/all/forwarding")}
SYSCTL_KEYS = {"IPv4": "net.ipv4.ip_forward", "IPv6": "net.ipv6.conf.all.forwarding"}
NATIVE_CORES = ("sentry_engine.cores.native_core", "vpn_frontend.gateway.native_gateway")
CLOCK_FLOOR = datetime(2025, 1, 1, tzinfo=UTC)  # earlier than any build: the clock is not set
READABLE_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check. ``fix`` says what to do; empty if nothing."""

    check: str
    level: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""


def run_checks(config: LoadedConfig) -> list[CheckResult]:
    """Run all checks, basic ones first."""
    results: list[CheckResult] = []
    for check in CHECKS:
        try:
            results += check(config)
        except OSError as error:
            name = check.__name__.removeprefix("_")
            results.append(CheckResult(name, "fail", f"{error.filename or ''}: {error.strerror}", "see the error"))
    return results


def _native_cores(_: LoadedConfig) -> Iterator[CheckResult]:
    for name in NATIVE_CORES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            yield CheckResult(name, "fail", str(error), "build it: make build")
        else:
            yield CheckResult(name, "ok", "loads, with the ABI of this version")


def _tun(_: LoadedConfig) -> Iterator[CheckResult]:
    try:
        os.close(os.open(TUN_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        yield CheckResult(
            "TUN device", "fail", f"{TUN_DEVICE} is missing", "modprobe tun (in a container: add the device)"
        )
    except OSError as error:
        fix = "run as root, or give the service CAP_NET_ADMIN and the device"
        yield CheckResult("TUN device", "fail", f"{TUN_DEVICE}: {error.strerror}", fix)
    else:
        yield CheckResult("TUN device", "ok", f"{TUN_DEVICE} opens")


def _ports(config: LoadedConfig) -> Iterator[CheckResult]:
    vpn = config.vpn
    wanted = [(endpoint, socket.SOCK_STREAM) for endpoint in vpn.listen]
    if vpn.dtls:
        wanted += [(endpoint, socket.SOCK_DGRAM) for endpoint in vpn.dtls_listen or vpn.listen]
    if config.values.admin.listen is not None:
        wanted.append((config.values.admin.listen, socket.SOCK_STREAM))
    server = _server_process(config)
    for endpoint, kind in wanted:
        yield check_port(endpoint, kind, server)


def _server_process(config: LoadedConfig) -> int | None:
    """The process of the running server; ``None``: none runs, or it is not visible."""
    try:
        return SocketClient(config.values.admin.socket).server_process()
    except ClientError:
        return None


def check_port(endpoint: Endpoint, kind: socket.SocketKind, server: int | None) -> CheckResult:
    """``server``: the process that may have the port."""
    name = f"{'TCP' if kind is socket.SOCK_STREAM else 'UDP'} {endpoint}"
    family = socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind is socket.SOCK_STREAM:  # ignore TIME_WAIT; UDP has none, and would share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((str(endpoint.address), endpoint.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return _port_in_use(name, endpoint.port, kind, server)
            return CheckResult(
                name, "fail", error.strerror or "cannot be bound", "run as root, or name another address"
            )
    return CheckResult(name, "ok", "free")


def _port_in_use(name: str, port: int, kind: socket.SocketKind, server: int | None) -> CheckResult:
    try:
        if server is not None and uses_port(server, kind, port):
            return CheckResult(name, "ok", f"this server listens (process {server})")
    except OSError as error:
        detail = f"in use; whether by this server cannot be seen: {error.strerror}"
        return CheckResult(name, "warn", detail, "run the doctor as root")
    return CheckResult(name, "fail", "in use by another program", "see which: ss -lntup")


def _certificate(config: LoadedConfig) -> Iterator[CheckResult]:
    for number, files in enumerate(config.vpn.every_certificate()):
        name = "certificate" if number == 0 else f"certificate {files.certificate.name}"
        yield from _certificate_pair(name, files, detailed=number == 0)


def _certificate_pair(name: str, files: CertificateFiles, *, detailed: bool) -> Iterator[CheckResult]:
    try:
        facts = inspect_pair(files.certificate, files.private_key, None, files.password_file)
    except CertificatePairError as error:
        yield CheckResult(name, "fail", str(error), "ocsentry init --dir NEW creates a working pair")
        return
    now = utc_now()
    if problem := expiry_problem(facts, now):
        yield CheckResult(name, "fail", f"{files.certificate}: {problem}", "renew it, then SIGHUP")
    elif facts.not_after - now < EXPIRY_WARNING:
        yield CheckResult(name, "warn", f"expires {facts.not_after:%Y-%m-%d}", "renew it, then SIGHUP")
    else:
        yield CheckResult(name, "ok", f"{facts.subject}, until {facts.not_after:%Y-%m-%d}, {facts.pin}")
    if files.ocsp_response is not None:
        yield _ocsp_response(files, files.ocsp_response)
    if not detailed:
        return
    if not facts.names:
        yield CheckResult(
            "certificate names", "warn", "no subjectAltName, which clients check", "have it reissued with one"
        )
    elif facts.self_signed:
        fix = "clients need --servercert with the pin; for phones get one from a known authority"
        yield CheckResult("certificate names", "warn", f"self-signed for {', '.join(facts.names)}", fix)
    else:
        yield CheckResult("certificate names", "ok", ", ".join(facts.names))


def _ocsp_response(files: CertificateFiles, response: Path) -> CheckResult:
    name = f"OCSP response {response.name}"
    try:
        chain = x509.load_pem_x509_certificates(read_file(files.certificate))
        until = check_response(read_file(response), chain)
    except (CertificateError, ResponseError) as error:
        return CheckResult(name, "fail", f"not stapled: {error}", "fetch a new one; it is read again every minute")
    return CheckResult(name, "ok", "stapled" if until is None else f"stapled, until {until:%Y-%m-%d %H:%M} UTC")


def _rules(config: LoadedConfig) -> Iterator[CheckResult]:
    try:
        policy = load_policy(config.values.policy)
    except PolicyError as error:
        for problem in error.problems:
            yield CheckResult(
                "rules", "fail", str(problem), "fix the file; until then the server keeps its present policy"
            )
        return
    yield CheckResult("rules", "ok", f"{len(policy.files)} files")
    for oddity in find_policy_issues(policy):
        yield CheckResult("rules", "warn", str(oddity), "see docs/policy.md")


def _inner_network(config: LoadedConfig) -> Iterator[CheckResult]:
    pairs = config.vpn.every_certificate()  # _certificate reports these
    files = tuple(str(path) for pair in pairs for path in (pair.certificate, pair.private_key))
    problems = [problem for problem in validate(config.vpn) if not problem.startswith(files)]
    for problem in problems:
        yield CheckResult("network", "fail", problem, f"change it in {config.path}")
    if not problems:
        yield CheckResult("network", "ok", "the pools overlap no network of this host")


def _forwarding(config: LoadedConfig) -> Iterator[CheckResult]:
    network = config.vpn.network
    for family, pool in (("IPv4", network.ipv4_pool), ("IPv6", network.ipv6_pool)):
        if pool is None:
            continue
        if FORWARDING[family].read_text().strip() == "1":
            yield CheckResult(f"{family} forwarding", "ok", "on")
        else:
            fix = f"echo '{SYSCTL_KEYS[family]} = 1' >> /etc/sysctl.d/60-ocsentry.conf; sysctl --system"
            yield CheckResult(f"{family} forwarding", "warn", "off: clients reach this host only", fix)


def _client_guard(config: LoadedConfig) -> Iterator[CheckResult]:
    """Whether other hosts are kept from beginning conversations with clients. Reading the rules needs root."""
    name, network = "hosts that reach clients", config.vpn.network
    pools = {"IPv4": network.ipv4_pool, "IPv6": network.ipv6_pool}
    forwarded = [family for family, pool in pools.items() if pool and FORWARDING[family].read_text().strip() == "1"]
    if not forwarded:
        yield CheckResult(name, "ok", "none: this host forwards nothing")
        return
    try:
        guarded = guarded_families(read_ruleset(), network.device)
    except OSError as error:
        detail = f"the host's packet filter cannot be read: {error.strerror}"
        yield CheckResult(name, "warn", detail, "install nftables, and run the doctor as root")
        return
    if bare := [family for family in forwarded if family not in guarded]:
        detail = (
            f"any on the networks of this host, over {' and '.join(bare)}: no rule drops what goes to {network.device}"
        )
        yield CheckResult(name, "warn", detail, "load contrib/nftables/ocsentry.nft, or rules of your own")
    else:
        yield CheckResult(name, "ok", f"only those that other rules let through to {network.device}")


def _clock(_: LoadedConfig) -> Iterator[CheckResult]:
    now = utc_now()
    if now < CLOCK_FLOOR:
        yield CheckResult(
            "clock", "fail", f"{now:%Y-%m-%d %H:%M} UTC is in the past", "set the clock; run a time service"
        )
    else:
        yield CheckResult("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _permissions(config: LoadedConfig) -> Iterator[CheckResult]:
    for key in dict.fromkeys(files.private_key for files in config.vpn.every_certificate()):
        if key.exists() and key.stat().st_mode & READABLE_BY_OTHERS:
            yield CheckResult("private key", "fail", f"{key} is readable by other users", f"chmod 600 {key}")
    database = _database_file(config)
    if database is not None and database.exists() and database.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        yield CheckResult("database", "warn", f"{database} is readable by every user", f"chmod 640 {database}")


def _privileges(config: LoadedConfig) -> Iterator[CheckResult]:
    remarks = list(find_remarks(config))
    for remark in remarks:
        yield CheckResult("privileges", "fail" if remark.failed else "warn", remark.detail, remark.fix)
    if not remarks:
        yield CheckResult("privileges", "ok", "dropped before the first client: capabilities, seccomp, Landlock")


def _kernel_filter(config: LoadedConfig) -> Iterator[CheckResult]:
    """What the kernel drops for the policy. The counters need root."""
    name = "packet filter"
    if config.values.policy.kernel == "off":
        return
    try:
        Nftables().close()
    except PrivilegeError as error:
        yield CheckResult(name, "fail", str(error), "see the message")
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


def _database(config: LoadedConfig) -> Iterator[CheckResult]:
    database = _database_file(config)
    if database is None:
        yield CheckResult("database", "ok", "not a file; the server connects to it at the start")
        return
    place = database if database.exists() else database.parent
    if os.access(place, os.W_OK) and os.access(database.parent, os.W_OK):
        yield CheckResult("database", "ok", f"{database} {'is writable' if database.exists() else 'will be created'}")
    else:
        yield CheckResult(
            "database", "fail", f"{place} is not writable", "change the owner of file and folder to the server's user"
        )


def _database_file(config: LoadedConfig) -> Path | None:
    scheme, separator, name = config.store_url.partition("sqlite:///")
    return Path(name) if separator and not scheme else None


CHECKS: tuple[Callable[[LoadedConfig], Iterator[CheckResult]], ...] = (
    _native_cores,
    _tun,
    _ports,
    _certificate,
    _rules,
    _inner_network,
    _forwarding,
    _client_guard,
    _clock,
    _permissions,
    _privileges,
    _kernel_filter,
    _database,
)
