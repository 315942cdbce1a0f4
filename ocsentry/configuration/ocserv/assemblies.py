# SPDX-License-Identifier: GPL-3.0-or-later
"""What several keys of ocserv say together: endpoints, certificate, pools, DTLS, sockets."""

from __future__ import annotations

import hashlib
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.configuration.ocserv.rows import number_of, switch_of
from vpn_frontend.ocserv.values import read_switch
from vpn_frontend.settings import AuthSettings

if TYPE_CHECKING:
    from ocsentry.configuration.ocserv.target import Target
    from vpn_frontend.ocserv.grammar import Entry

DEFAULT_PORT = 443
MAX_PORT = 65_535
MAX_ENDPOINTS = 16
MAX_RADIUS_WAIT = 110  # seconds
OCCTL_SOCKET = "/var/run/occtl.socket"  # ocserv's default
TOKENS = ("pkcs11:", "tpmkey:", "system:")
POOLS = (("ipv4-network", "ipv4-netmask", "ipv4_pool"), ("ipv6-network", "ipv6-prefix", "ipv6_pool"))
ENCRYPTED = (b"ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")


def assemble_listening(target: Target) -> None:
    """``vpn.listen``, ``vpn.dtls`` and ``vpn.dtls_listen``."""
    tcp, udp = _port(target, "tcp-port", DEFAULT_PORT), _port(target, "udp-port", 0)
    entry = target.last("tcp-port")
    if tcp == 0 and entry is not None:
        target.refuse(entry, "clients log in over TCP: name a port")
        return
    host, udp_host = target.last("listen-host"), target.last("udp-listen-host")
    hosts = _addresses(target, host)
    target.set("vpn.listen", [_endpoint(one, tcp) for one in hosts], host or entry)
    without = target.last("no-udp")
    target.set(
        "vpn.dtls", udp != 0 and not (without is not None and switch_of(target, without)), target.last("udp-port")
    )
    udp_hosts = hosts if udp_host is None else _addresses(target, udp_host)
    if udp and (udp != tcp or udp_hosts != hosts):
        target.set("vpn.dtls_listen", [_endpoint(one, udp) for one in udp_hosts], udp_host or target.last("udp-port"))


def _port(target: Target, key: str, default: int) -> int:
    entry = target.last(key)
    if entry is None:
        return default
    port = number_of(target, entry)
    if port is not None and port > MAX_PORT:
        target.refuse(entry, f"{port} is not a port")
        return default
    return default if port is None else port


def _endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _addresses(target: Target, entry: Entry | None) -> list[str]:
    """Addresses of a host name; ``*`` is all of both families."""
    if entry is None or entry.value in ("", "*"):
        return ["*"]
    try:
        return [str(ip_address(entry.value.strip("[]")))]
    except ValueError:
        pass
    try:
        found = list(dict.fromkeys(target.around.resolve(entry.value)))
    except OSError as error:
        target.refuse(entry, f"{entry.value!r} has no address: {error.strerror or error}")
        return ["*"]
    target.differs(entry, f"is {', '.join(found)} now; the name is looked up at the start only")
    return found[:MAX_ENDPOINTS]


def assemble_certificate(target: Target) -> None:
    """``vpn.certificate`` and ``vpn.private_key``; pairs by their order."""
    certificates, keys = target.given.get("server-cert", ()), target.given.get("server-key", ())
    for entry in (*certificates, *keys):
        if entry.value.startswith(TOKENS):
            target.refuse(entry, "keys in a token cannot be used: write certificate and key to files")
            return
    if len(certificates) != len(keys):
        odd = (certificates or keys)[-1]
        target.refuse(odd, f"there are {len(certificates)} of server-cert and {len(keys)} of server-key")
        return
    if not certificates:
        return
    target.set("vpn.certificate", target.file(certificates[0], certificates[0].value), certificates[0])
    target.set("vpn.private_key", target.file(keys[0], keys[0].value), keys[0])
    password = _password_file(target, keys[0])
    if password is not None:
        target.set("vpn.private_key_password_file", password, keys[0])
    more = []
    for one, key in zip(certificates[1:], keys[1:], strict=True):
        pair = {"certificate": target.file(one, one.value), "private_key": target.file(key, key.value)}
        password = _password_file(target, key)
        more.append(pair if password is None else {**pair, "password_file": password})
    if more:
        target.set("vpn.certificates", more, certificates[1])


def _password_file(target: Target, key: Entry) -> str | None:
    """The file with the password of an encrypted key. A ``key-pin`` becomes a file of the state folder."""
    pin, file = target.last("key-pin"), target.last("pin-file")
    try:
        data = target.around.read(Path(target.file(key, key.value)))
    except OSError:  # missing, which is reported when it is opened, or read again without the rights of the start
        encrypted = pin is not None or file is not None
    else:
        encrypted = any(mark in data for mark in ENCRYPTED)
    if not encrypted:
        return None
    if pin is not None:
        name = f"key-{hashlib.sha256(key.value.encode()).hexdigest()[:8]}.pin"  # virtual hosts have keys too
        target.files[name] = pin.value.encode() + b"\n"
        return str(target.around.state / name)
    if file is not None:
        return target.file(file, file.value)
    target.refuse(key, "the key is encrypted: name its password by key-pin or pin-file")
    return None


def assemble_pools(target: Target) -> None:
    """``vpn.network.ipv4_pool`` and ``ipv6_pool``. Without the key a family is not served."""
    for key, mask, pool in POOLS:
        entry, width = target.last(key), target.last(mask)
        if entry is None or not entry.value:
            continue
        written = entry.value
        if "/" not in written:
            if width is None or not width.value:
                target.refuse(entry, f"a prefix is missing: write {written}/N, or {mask}")
                continue
            written = f"{written}/{width.value}"
        try:
            interface = ip_interface(written)
        except ValueError:
            target.refuse(entry, f"{written!r} is not a network")
            continue
        if interface.ip != interface.network.network_address:
            target.differs(entry, f"{written} is read as {interface.network}")
        target.set(f"vpn.network.{pool}", str(interface.network), entry)


def assemble_mobile_dpd(target: Target) -> None:
    entry = target.last("mobile-dpd")
    if entry is None:
        return
    value = number_of(target, entry)
    if value is not None:
        target.set("vpn.session.mobile_dpd", min(value or target.get("vpn.session.dpd", 90), 86_400), entry)


def assemble_radius_timeout(target: Target) -> None:
    """Bounds ``auth.radius.timeout``: all servers together have to answer before a login ends."""
    timeout, servers = target.get("auth.radius.timeout"), target.get("auth.radius.servers")
    if timeout is not None and servers:
        longest = min(MAX_RADIUS_WAIT, target.get("auth.timeout", AuthSettings().timeout) - 1) // len(servers)
        target.set("auth.radius.timeout", max(1, min(timeout, longest)))


def assemble_at_connect(target: Target) -> None:
    """``auth.certificate.at_connect``: AnyConnect makes its tunnel in a process without the user's certificate."""
    compat, always = target.last("cisco-client-compat"), target.last("always-require-cert")
    relaxed = [entry for entry in (compat,) if entry is not None and switch_of(target, entry)]
    relaxed += [entry for entry in (always,) if entry is not None and not switch_of(target, entry)]
    if not relaxed:
        return
    target.set("auth.certificate.at_connect", "optional", relaxed[0])
    target.differs(relaxed[0], "a tunnel may come without the certificate of its login; TLS 1.3 stays on")


def assemble_camouflage(target: Target) -> None:
    entry, secret, realm = (target.last(key) for key in ("camouflage", "camouflage_secret", "camouflage_realm"))
    if entry is None or not switch_of(target, entry):
        return
    if secret is None or not secret.value:
        target.refuse(entry, "it needs camouflage_secret")
        return
    target.set("vpn.camouflage.secret", secret.value, secret)
    if realm is not None:
        target.set("vpn.camouflage.realm", realm.value, realm)


def occtl_socket(target: Target) -> Path | None:
    """Where ocserv's ``occtl`` would look for the server; ``None``: nowhere."""
    wanted, named = target.last("use-occtl"), target.last("occtl-socket-file")
    if wanted is None or not read_switch(wanted.value)[0]:
        return None
    return Path(OCCTL_SOCKET) if named is None or not named.value else Path(target.file(named, named.value))
