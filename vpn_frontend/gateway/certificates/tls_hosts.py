# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what TLS needs of the server and its virtual hosts: certificates, keys and the authorities of clients."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cryptography import x509

from sentry_engine.records import dataclass
from vpn_frontend.gateway.certificates.client_authorities import load_authorities
from vpn_frontend.gateway.certificates.ocsp_response import ResponseError, check_response
from vpn_frontend.gateway.certificates.server_certificate import CertificateError, load_certificate, read_file
from vpn_frontend.gateway.interface import NO_CLIENT_AUTHORITIES, TlsHost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from vpn_frontend.gateway.certificates.server_certificate import FileReader, ServerCertificate
    from vpn_frontend.gateway.interface import ClientAuthorities
    from vpn_frontend.settings import AuthSettings, CertificateFiles, VpnSettings

    LoadCertificate = Callable[[CertificateFiles], ServerCertificate]


@dataclass(frozen=True, slots=True)
class LoadedHosts:
    """``hosts`` begin with the server itself.

    ``warnings`` say which clients will be refused, and why, ``unstapled`` which OCSP responses are not sent.
    """

    hosts: tuple[TlsHost, ...]
    warnings: tuple[str, ...] = ()
    unstapled: tuple[str, ...] = ()


def load_hosts(
    settings: VpnSettings, read: FileReader | None = None, load: LoadCertificate | None = None
) -> LoadedHosts:
    """Read the files, through ``read`` if the process may not itself. Raises ``CertificateError``.

    ``load`` gives certificates whose keys another process has.
    """
    load = load or partial(_load_certificate, read)
    own = tuple(map(load, settings.own_certificates()))
    hosts = [TlsHost(own)]
    hosts += [TlsHost(tuple(map(load, host.certificates)) or own, name=host.name) for host in settings.hosts]
    return refresh_hosts(settings, hosts, read)


def refresh_hosts(
    settings: VpnSettings, hosts: Sequence[TlsHost], read: FileReader | None = None, now: datetime | None = None
) -> LoadedHosts:
    """``hosts`` with the present authorities of clients, revocation lists and OCSP responses.

    Certificates and keys stay: a renewal that is half done is no hindrance. Raises ``CertificateError``.
    """
    own = settings.own_certificates()
    files = (own, *(host.certificates or own for host in settings.hosts))
    auths = (settings.auth, *(host.auth for host in settings.hosts))
    warnings, unstapled = list[str](), list[str]()
    fresh = tuple(
        TlsHost(
            tuple(_staple(*pair, read, now, unstapled) for pair in zip(host.certificates, of_host, strict=True)),
            _load_clients(auth, read, warnings),
            host.name,
        )
        for host, of_host, auth in zip(hosts, files, auths, strict=True)
    )
    return LoadedHosts(fresh, tuple(dict.fromkeys(warnings)), tuple(dict.fromkeys(unstapled)))


def _load_certificate(read: FileReader | None, files: CertificateFiles) -> ServerCertificate:
    return load_certificate(files.certificate, files.private_key, read, files.password_file)


def _staple(
    certificate: ServerCertificate,
    files: CertificateFiles,
    read: FileReader | None,
    now: datetime | None,
    unstapled: list[str],
) -> ServerCertificate:
    """``certificate`` with its response, or with none: the handshake works without it."""
    if files.ocsp_response is None:
        return certificate
    try:
        response = read_file(files.ocsp_response, read)
        check_response(response, x509.load_pem_x509_certificates(certificate.chain), now)
    except CertificateError as error:
        unstapled.append(str(error))
        response = b""
    except ResponseError as error:
        unstapled.append(f"{files.ocsp_response}: {error}")
        response = b""
    return replace(certificate, ocsp=response)


def _load_clients(auth: AuthSettings, read: FileReader | None, warnings: list[str]) -> ClientAuthorities:
    if not auth.asks_for_certificates or auth.certificate.ca is None:
        return NO_CLIENT_AUTHORITIES
    given = auth.certificate
    loaded = load_authorities(auth.certificate.ca, given.crl, read, strict=given.crl_check == "strict")
    warnings += loaded.warnings
    return loaded.authorities
