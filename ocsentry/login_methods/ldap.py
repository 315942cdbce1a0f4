# SPDX-License-Identifier: GPL-3.0-or-later
"""``ldap``: the directory of ``[auth.ldap]``. Password and authorities are read through the helper, once."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from vpn_frontend.auth.ldap.connection import Server
from vpn_frontend.auth.ldap.directory import LdapDirectory, Query
from vpn_frontend.auth.ldap.method import LdapMethod
from vpn_frontend.auth.ldap.pool import LdapPool
from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ocsentry.configuration.sections.ldap import LdapSection
    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method
    from vpn_frontend.gateway.certificates.server_certificate import FileReader

MAX_PASSWORD = 1024  # bytes of the file
MAX_AUTHORITIES = 1024 * 1024


@asynccontextmanager
async def open_ldap(context: MethodContext) -> AsyncIterator[Method]:
    """Raises ``OperatorError`` for files that cannot be used."""
    section = context.config.values.auth.ldap
    query, servers = read_ldap(section, context.helper.read_key)
    pool = LdapPool(
        servers,
        deadline=section.timeout,
        report=lambda error: context.events.emit(VpnEvent.BACKEND_FAILED, what="ldap", error=str(error)),
    )
    try:
        yield LdapMethod(context.directory, LdapDirectory(query), pool)
    finally:
        pool.close()


def read_ldap(section: LdapSection, read: FileReader) -> tuple[Query, list[Server]]:
    """What is asked, and whom. Raises ``OperatorError`` for files that cannot be used."""
    password = _read_password(section.password_file, read)
    query = Query(section.base, section.filter, section.bind_dn, password, section.group_base, section.group_filter)
    tls = _tls_context(section.ca, read)
    return query, [
        Server(url.text, url.host, url.port, tls if url.ldaps or section.start_tls else None, section.start_tls)
        for url in section.urls
    ]


def _tls_context(ca: Path | None, read: FileReader) -> ssl.SSLContext:
    """Verifies certificate and name, always."""
    try:
        # An empty text would stand for the system's.
        authorities = None if ca is None else read(ca, MAX_AUTHORITIES).decode("ascii") or "empty"
        return ssl.create_default_context(cadata=authorities)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise OperatorError(f"auth.ldap.ca: {ca} cannot be used: {error}") from error


def _read_password(file: Path | None, read: FileReader) -> str:
    if file is None:
        return ""
    try:
        password = read(file, MAX_PASSWORD).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"auth.ldap.password_file: {file} cannot be read: {error}") from error
    if not password:
        raise OperatorError(f"auth.ldap.password_file: {file} is empty")
    return password
