# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper's scope, from the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocsentry.configuration.sections.host import pair_files
from ocsentry.privileges.helper.scope import Scope
from vpn_frontend.gateway.tun import tun_device

if TYPE_CHECKING:
    from pathlib import Path

    from ocsentry.configuration.model import LoadedConfig


def scope_of(config: LoadedConfig) -> Scope:
    """The files, the device, the pools and the endpoints of the VPN, and what its packet filter spares."""
    vpn, policy = config.vpn, config.values.policy
    pools = (vpn.network.ipv4_pool, vpn.network.ipv6_pool, *vpn.more_pools())
    return Scope(
        files=_certificate_files(config) | _secret_files(config),
        device=tun_device(vpn),
        networks=(*(pool for pool in pools if pool is not None), *vpn.iroutes_within, *vpn.addresses_within),
        listeners=tuple(map(str, vpn.listen)),
        datagrams=tuple(map(str, vpn.dtls_listen or vpn.listen)) if vpn.dtls else (),
        packet_filter=policy.kernel == "nftables",
        never_block=policy.never_block,
        configuration=config.path,
        private_files=_private_files(config) if config.values.process.key_isolation == "on" else (),
    )


def _private_files(config: LoadedConfig) -> tuple[str, ...]:
    """The private keys of TLS and their passwords, by their keys."""
    endings = ("private_key", "password_file", "private_key_password_file")
    return tuple(name for name in _certificate_files(config) if name.rpartition(".")[2] in endings)


def _certificate_files(config: LoadedConfig) -> dict[str, Path]:
    """What TLS reads again while the server runs, by its keys."""
    vpn = config.values.vpn
    found = {"vpn.certificate": vpn.certificate, "vpn.private_key": vpn.private_key}
    if vpn.ocsp_response is not None:
        found["vpn.ocsp_response"] = vpn.ocsp_response
    if vpn.private_key_password_file is not None:
        found["vpn.private_key_password_file"] = vpn.private_key_password_file
    found |= dict(pair_files("vpn", vpn.certificates))
    for host in vpn.host:
        found |= dict(host.files())
    return found


def _secret_files(config: LoadedConfig) -> dict[str, Path]:
    """Files that the server reads once it has given its privileges up, by their keys."""
    auth, admin = config.values.auth, config.values.admin
    ldap, radius = auth.ldap, auth.radius
    named = {"auth.ldap.password_file": ldap.password_file, "auth.ldap.ca": ldap.ca}
    for table, provider in (("auth.oidc", auth.oidc), ("admin.oidc", admin.oidc)):
        named[f"{table}.client_secret_file"] = provider.client_secret_file
        named[f"{table}.client_key_file"] = provider.client_key_file
    named |= {"auth.ocpasswd_file": auth.ocpasswd_file, "auth.oath_file": auth.oath_file}
    named |= {"admin.certificate": admin.certificate, "admin.private_key": admin.private_key}
    named["fleet.secret_file"] = config.values.fleet.secret_file
    named |= dict(auth.certificate.files())
    named |= {f"auth.radius.servers.{number}": server.secret_file for number, server in enumerate(radius.servers)}
    named |= {f"admin.webhook.{number}": one.secret_file for number, one in enumerate(admin.webhook)}
    return {key: path for key, path in named.items() if path is not None}
