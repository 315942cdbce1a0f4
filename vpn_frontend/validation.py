# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of settings against each other and against this host, before anything is opened (``serve --check``)."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, get_args

from vpn_frontend.auth.login_plan import find_methods_problem, find_require_problem
from vpn_frontend.gateway.certificates.client_authorities import load_authorities
from vpn_frontend.gateway.certificates.server_certificate import (
    CertificateError,
    certificate_problems,
    load_certificate,
)
from vpn_frontend.gateway.fips import find_fips_problem, restrict_to_fips
from vpn_frontend.gateway.host_networks import local_networks
from vpn_frontend.gateway.tun import MAX_NAME
from vpn_frontend.protocol.browser_pages import PATHS
from vpn_frontend.protocol.connect_request import TUNNEL_PATHS
from vpn_frontend.protocol.connection import PHONE_PATHS
from vpn_frontend.protocol.constants import MAX_MTU, MIN_MTU, MIN_MTU_IPV6
from vpn_frontend.settings import MAX_WORKERS, MethodName

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vpn_frontend.settings import LoginRules, Network, VpnSettings

OWN_PATHS = PHONE_PATHS | PATHS | TUNNEL_PATHS | {"/logout"}
LONGEST_POOL = {4: 30, 6: 126}  # prefix lengths with an address for a client beside the server's


def validate(
    settings: VpnSettings, *, host_networks: Iterable[Network] | None = None, read_files: bool = True
) -> list[str]:
    """Every problem as one sentence for the operator, empty if there is none.

    ``host_networks`` are the host's networks without the VPN's. ``None``: ask the kernel. Without ``read_files`` the
    certificates are left out, which a server without privileges cannot read itself.
    """
    problems = [
        *_validate_network(settings),
        *_validate_session(settings),
        *_validate_auth(settings),
        *_validate_fips(settings),
        *_validate_kdc_proxies(settings),
    ]
    if read_files:
        problems += [*_validate_certificates(settings), *_validate_authorities(settings)]
    networks = local_networks(settings.network.device) if host_networks is None else host_networks
    problems += _validate_overlaps(settings, networks)
    problems += _validate_more_pools(settings, networks)
    if not settings.listen:
        problems.append("listen: there is no address to listen on")
    if not 0 <= settings.worker_threads <= MAX_WORKERS:
        problems.append(f"worker_threads: {settings.worker_threads} is not between 0 and {MAX_WORKERS}")
    return problems


def _validate_kdc_proxies(settings: VpnSettings) -> Iterable[str]:
    for one in settings.kdc_proxy:
        if one.path in OWN_PATHS:
            yield f"kdc_proxy: {one.path} is a path of the VPN itself"


def _validate_network(settings: VpnSettings) -> Iterable[str]:
    network = settings.network
    if network.ipv4_pool is None and network.ipv6_pool is None:
        yield "network: neither ipv4_pool nor ipv6_pool is set, so no client could get an address"
    for key, pool in (("ipv4_pool", network.ipv4_pool), ("ipv6_pool", network.ipv6_pool)):
        if pool is not None and pool.prefixlen > LONGEST_POOL[pool.version]:
            yield f"network.{key}: {pool} is too small (at most /{LONGEST_POOL[pool.version]})"
        if pool is not None and (pool.is_loopback or pool.is_multicast or pool.is_link_local):
            yield f"network.{key}: {pool} is not for hosts"
    if not MIN_MTU <= network.mtu <= MAX_MTU:
        yield f"network.mtu: {network.mtu} is not between {MIN_MTU} and {MAX_MTU}"
    elif network.ipv6_pool is not None and network.mtu < MIN_MTU_IPV6:
        yield f"network.mtu: IPv6 needs {MIN_MTU_IPV6} (or no ipv6_pool), not {network.mtu}"
    if network.iroutes:
        yield "network.iroutes: a network is behind one client: set it for a user or a group"
    name = network.device
    if not 0 < len(name) <= MAX_NAME or not name.isascii() or any(sign in name for sign in "/ %:"):
        yield f"network.device: {name!r} is not a name for a network device"


def _validate_more_pools(settings: VpnSettings, host_networks: Iterable[Network]) -> Iterable[str]:
    """Pools of groups and hosts, as the server's. The configuration has refused those that overlap each other."""
    for pool, where in settings.more_pools().items():
        key = f"{where}.network.ipv{pool.version}_pool"
        if pool.prefixlen > LONGEST_POOL[pool.version]:
            yield f"{key}: {pool} is too small (at most /{LONGEST_POOL[pool.version]})"
        if pool.is_loopback or pool.is_multicast or pool.is_link_local:
            yield f"{key}: {pool} is not for hosts"
        yield from (
            f"{key}: {pool} overlaps with the network {network} of this host"
            for network in host_networks
            if _overlap(pool, network)
        )


def _validate_session(settings: VpnSettings) -> Iterable[str]:
    if settings.session.cookie_timeout <= 0:
        yield "session.cookie_timeout: clients could never come back; it has to be at least 1"


def _validate_fips(settings: VpnSettings) -> Iterable[str]:
    if not settings.fips:
        return
    if (problem := find_fips_problem()) is not None:
        yield f"fips: {problem}"
    if not restrict_to_fips(settings).ciphers:
        yield "ciphers: none of them is approved by FIPS 140"


def _validate_auth(settings: VpnSettings) -> Iterable[str]:
    yield from _validate_rules("auth", settings.auth.rules)
    for name, rules in settings.auth.group_rules.items():
        yield from _validate_rules(f"groups.{name}.auth", rules)


def _validate_rules(where: str, rules: LoginRules) -> Iterable[str]:
    known = get_args(MethodName)
    for key, names in (("methods", rules.methods), ("require", rules.require)):
        unknown = [name for name in names if name not in known]
        yield from (f"{where}.{key}: {name!r} is not one of {', '.join(known)}" for name in unknown)
        if unknown:
            return
    if (problem := find_methods_problem(rules.methods)) is not None:
        yield f"{where}.methods: {problem}"
    elif (problem := find_require_problem(rules.methods, rules.require)) is not None:
        yield f"{where}.require: {problem}"


def _validate_certificates(settings: VpnSettings) -> Iterable[str]:
    for files in settings.every_certificate():
        try:
            yield from certificate_problems(
                load_certificate(files.certificate, files.private_key, None, files.password_file)
            )
        except CertificateError as error:
            yield str(error)


def _validate_authorities(settings: VpnSettings) -> Iterable[str]:
    for where, auth in (("", settings.auth), *((f"vpn.host.{host.name}.", host.auth) for host in settings.hosts)):
        if not auth.asks_for_certificates:
            continue
        if auth.certificate.ca is None:
            yield f"{where}auth.certificate.ca: the method certificate needs the authorities of client certificates"
            continue
        try:
            yield from load_authorities(auth.certificate.ca, auth.certificate.crl).warnings
        except CertificateError as error:
            yield str(error)


def _validate_overlaps(settings: VpnSettings, host_networks: Iterable[Network]) -> Iterable[str]:
    """With a pool inside a host network, replies to clients would be routed to that network."""
    pools = (("ipv4_pool", settings.network.ipv4_pool), ("ipv6_pool", settings.network.ipv6_pool))
    for key, pool in pools:
        for network in host_networks:
            if pool is not None and _overlap(pool, network):
                yield f"network.{key}: {pool} overlaps with the network {network} of this host"


def _overlap(one: Network, other: Network) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)
