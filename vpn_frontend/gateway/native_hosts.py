# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives the hosts with their certificates to the native gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpn_frontend._gateway import ffi, lib
from vpn_frontend.gateway.interface import GatewayError, TlsHost
from vpn_frontend.settings import DEFAULT_CIPHERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vpn_frontend._gateway import Bytes, CertificatesPointer, GatewayPointer, Text, TlsStruct
    from vpn_frontend.gateway.certificates.server_certificate import ServerCertificate

ERROR_SIZE = 256
REMOVED = "removed-{}.invalid"  # RFC 6761: no client looks for such a name


def keep_places(names: Sequence[str], hosts: Sequence[TlsHost]) -> tuple[TlsHost, ...]:
    """``hosts`` at the places of ``names``, the hosts in use, new ones behind them.

    Handshakes under way and live sessions know their host by its place. The place of a host that is gone stays
    taken, by a name that leads nowhere; it trusts no client's certificate. A host that comes back gets its place again.
    Raises ``GatewayError`` if there are too many.
    """
    present = {host.name: host for host in hosts}
    placed = [
        present.pop(name) if name in present else TlsHost(hosts[0].certificates, name=REMOVED.format(number))
        for number, name in enumerate(names)
    ]
    placed += present.values()
    if len(placed) > lib.GW_HOSTS_MAX:
        raise GatewayError(f"more than {lib.GW_HOSTS_MAX} hosts since the start, with removed ones")
    return tuple(placed)


def set_hosts(gateway: GatewayPointer, hosts: Sequence[TlsHost], ciphers: Sequence[str], *, fips: bool) -> None:
    """Use them for new handshakes, with ``fips`` by its limits. Raises ``GatewayError``, then nothing changes."""
    _give(lib.gw_set_tls, gateway, hosts, ciphers, acme=False, fips=fips)


def set_acme_challenges(gateway: GatewayPointer, challenges: Sequence[TlsHost]) -> None:
    """Show them to ACME servers. Raises ``GatewayError``, then nothing changes."""
    _give(lib.gw_set_acme, gateway, challenges, DEFAULT_CIPHERS, acme=True, fips=False)


def _give(
    function: Callable[[GatewayPointer, TlsStruct, Text, int], int],
    gateway: GatewayPointer,
    hosts: Sequence[TlsHost],
    ciphers: Sequence[str],
    *,
    acme: bool,
    fips: bool,
) -> None:
    error = ffi.new("char[]", ERROR_SIZE)
    # The structs point to these, so they have to live until the call returns.
    certificates = [
        ffi.new("struct gw_certificate[]", [_certificate(one, acme=acme) for one in host.certificates])
        for host in hosts
    ]
    names = [ffi.new("char[]", host.name.encode()) for host in hosts]
    rows = [{**row, "fips": int(fips)} for row in map(_host, hosts, names, certificates)]
    array, list_of_ciphers = ffi.new("struct gw_tls_host[]", rows), ffi.new("char[]", ":".join(ciphers).encode())
    tls = ffi.new("struct gw_tls *", {"hosts": array, "host_count": len(hosts), "ciphers": list_of_ciphers})
    if function(gateway, tls, error, ERROR_SIZE):
        raise GatewayError(ffi.string(error).decode("latin-1"))


def _certificate(certificate: ServerCertificate, *, acme: bool) -> dict[str, int | Bytes]:
    return {
        **_buffers(chain=certificate.chain, key=certificate.key, ocsp=certificate.ocsp),
        "key_type": int(certificate.key_type),
        "signer_key": certificate.signer_key,
        "acme": int(acme),
    }


def _host(host: TlsHost, name: Text, certificates: CertificatesPointer) -> dict[str, object]:
    return {
        **_buffers(client_ca=host.clients.ca, client_crl=host.clients.crl),
        "name": name,
        "certificates": certificates,
        "certificate_count": len(host.certificates),
        "revocation_check": int(host.clients.revocation),
    }


def _buffers(**contents: bytes) -> dict[str, int | Bytes]:
    found: dict[str, int | Bytes] = {}
    for name, content in contents.items():
        found[name] = ffi.from_buffer("uint8_t[]", content)
        found[f"{name}_size"] = len(content)
    return found
