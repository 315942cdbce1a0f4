# SPDX-License-Identifier: GPL-3.0-or-later
"""The inner network: pools, routes to clients, IPv6, forwarding, and what other hosts reach."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.setup.checks.result import CheckResult
from ocsentry.setup.checks.running import server_process
from ocsentry.setup.client_guard import guarded_families, read_ruleset
from vpn_frontend.gateway.pool_routes import lost_pools
from vpn_frontend.gateway.tun import ipv6_is_off, tun_device
from vpn_frontend.validation import validate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocsentry.configuration.model import LoadedConfig

FORWARDING = {"IPv4": Path("/proc/sys/net/ipv4/ip_forward"), "IPv6": Path("/proc/sys/net/ipv6/conf/all/forwarding")}
SYSCTL_KEYS = {"IPv4": "net.ipv4.ip_forward", "IPv6": "net.ipv6.conf.all.forwarding"}
SYSCTL_FILE = Path("/etc/sysctl.d/60-ocsentry.conf")
DNS_PORT = 53
POOL_LINE = re.compile(r"^[ \t]*ipv6_pool[ \t]*=", re.MULTILINE)
NETWORK_HEADER = re.compile(r"^\[vpn\.network\][ \t]*(#.*)?$", re.MULTILINE)


def check_inner_network(config: LoadedConfig) -> Iterator[CheckResult]:
    problems = validate(config.vpn, read_files=False)
    for problem in problems:
        yield CheckResult("network", "fail", problem, f"change it in {config.path}")
    if not problems:
        yield CheckResult("network", "ok", "the pools overlap no network of this host")


def check_ipv6(config: LoadedConfig) -> Iterator[CheckResult]:
    network = config.vpn.network
    if network.ipv6_pool is None or not ipv6_is_off(network.device):
        return
    detail = (
        f"this host has IPv6 switched off, and vpn.network.ipv6_pool is {network.ipv6_pool}: the server cannot start"
    )
    fix = "give clients no IPv6 addresses, or switch it on: sysctl -w net.ipv6.conf.default.disable_ipv6=0"
    yield CheckResult("IPv6", "fail", detail, fix, _without_ipv6_pool(config.path))


def _without_ipv6_pool(file: Path) -> str:
    """A command that sets ``ipv6_pool`` to nothing."""
    text = file.read_text()
    if POOL_LINE.search(text):
        return f"sed -i -E 's|^[ \\t]*ipv6_pool[ \\t]*=.*|ipv6_pool = \"\"|' {file}"
    if NETWORK_HEADER.search(text):
        return f"sed -i -E 's|^\\[vpn\\.network\\].*|&\\nipv6_pool = \"\"|' {file}"
    return f"printf '\\n[vpn.network]\\nipv6_pool = \"\"\\n' >> {file}"


def check_routes(config: LoadedConfig) -> Iterator[CheckResult]:
    """Whether packets for clients go to the device of the running server."""
    if server_process(config) is None:
        return
    device = tun_device(config.vpn)
    lost = lost_pools(device.addresses)
    for own in device.addresses:
        if own.network in lost:
            detail = f"packets for {own.network} do not go to {device.name}: clients get no answers"
            family = "-6 " if own.version == 6 else ""
            command = f"ip {family}route replace {own.network} dev {device.name} src {own.ip}"
            yield CheckResult("routes to clients", "fail", detail, "put the route back", command)
    if not lost:
        yield CheckResult("routes to clients", "ok", f"lead to {device.name}")


def check_forwarding(config: LoadedConfig) -> Iterator[CheckResult]:
    for family in _families(config):
        if _is_on(family):
            yield CheckResult(f"{family} forwarding", "ok", "on")
        else:
            key = SYSCTL_KEYS[family]
            command = f"echo '{key} = 1' >> {SYSCTL_FILE} && sysctl -q -p {SYSCTL_FILE}"
            detail = "off: clients reach this host only"
            yield CheckResult(f"{family} forwarding", "warn", detail, "switch it on, also at boot", command)


def _families(config: LoadedConfig) -> list[str]:
    """The families with a pool, as far as this host has them."""
    pools = {"IPv4": config.vpn.network.ipv4_pool, "IPv6": config.vpn.network.ipv6_pool}
    return [family for family, pool in pools.items() if pool is not None and FORWARDING[family].exists()]


def _is_on(family: str) -> bool:
    return FORWARDING[family].read_text().strip() == "1"


def check_client_guard(config: LoadedConfig) -> Iterator[CheckResult]:
    """Whether other hosts are kept from beginning conversations with clients. Reading the rules needs root."""
    name, device = "hosts that reach clients", config.vpn.network.device
    forwarded = [family for family in _families(config) if _is_on(family)]
    if not forwarded:
        yield CheckResult(name, "ok", "none: this host forwards nothing")
        return
    try:
        guarded = guarded_families(read_ruleset(), device)
    except OSError as error:
        detail = f"the host's packet filter cannot be read: {error.strerror}"
        yield CheckResult(name, "warn", detail, "install nftables, and run the doctor as root")
        return
    if bare := [family for family in forwarded if family not in guarded]:
        detail = f"any on the networks of this host, over {' and '.join(bare)}: no rule drops what goes to {device}"
        fix = "load the rules that ocsentry writes, or rules of your own"
        yield CheckResult(name, "warn", detail, fix, f"ocsentry network up --config {config.path}")
    else:
        yield CheckResult(name, "ok", f"only those that other rules let through to {device}")


def check_resolver(config: LoadedConfig) -> Iterator[CheckResult]:
    """Name servers for clients: with a full tunnel they need one, and the server itself is none."""
    network, name = config.vpn.network, "name servers for clients"
    own = {address.ip for address in tun_device(config.vpn).addresses}
    if silent := [server for server in network.dns if server in own and not _answers(str(server))]:
        detail = f"{silent[0]} is this server, on which no resolver listens: clients resolve no names"
        yield CheckResult(name, "warn", detail, f"set vpn.network.dns in {config.path}")
    elif not network.dns and not network.routes:
        detail = "none, and all traffic goes through the tunnel: clients may not reach those they use now"
        yield CheckResult(name, "warn", detail, f"set vpn.network.dns in {config.path}")
    elif network.dns:
        yield CheckResult(name, "ok", ", ".join(map(str, network.dns)))


def _answers(address: str) -> bool:
    """True if a program of this host has the port of name servers on ``address``."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, DNS_PORT))
        except OSError:
            try:
                probe.bind(("::" if family is socket.AF_INET6 else "0.0.0.0", DNS_PORT))  # noqa: S104 - a probe
            except OSError:
                return True
        return False
