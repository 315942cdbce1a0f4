# SPDX-License-Identifier: GPL-3.0-or-later
"""``oidc``: the provider of ``[auth.oidc]``, or of another table.

The client's secret or key is read through the helper, once.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

from ocsentry.errors import OperatorError
from vpn_frontend.auth.oidc.browser_logins import BrowserLogins
from vpn_frontend.auth.oidc.claims import OidcClaims
from vpn_frontend.auth.oidc.client import ClientKeyError, OidcClient, read_client_key
from vpn_frontend.auth.oidc.method import OidcMethod
from vpn_frontend.auth.oidc.pages import OidcPages
from vpn_frontend.auth.oidc.provider import OidcProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ocsentry.configuration.sections.oidc import ProviderSection
    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method
    from vpn_frontend.gateway.certificates.server_certificate import FileReader

MAX_SECRET = 1024  # bytes
MAX_KEY = 16 * 1024
REQUEST_TIMEOUT = 10.0  # seconds; pages.DEADLINE bounds all requests of one page


@asynccontextmanager
async def open_oidc(context: MethodContext) -> AsyncIterator[Method]:
    """Raises ``OperatorError`` for a secret that cannot be used."""
    section = context.config.values.auth.oidc
    async with open_provider(section, "auth.oidc", context.helper.read_key) as provider:
        logins = BrowserLogins(float(context.config.vpn.auth.timeout))
        pages = OidcPages(provider, logins, claims_of(section), events=context.events)
        yield OidcMethod(context.directory, logins, pages, browser=section.browser)


@asynccontextmanager
async def open_provider(section: ProviderSection, table: str, read: FileReader) -> AsyncIterator[OidcProvider]:
    """``table``: the section's name. Raises ``OperatorError`` for a file that cannot be used."""
    client = read_client(section, table, read)
    async with open_http() as http:
        yield OidcProvider(section.issuer, client, http)


def open_http() -> httpx.AsyncClient:
    """What asks a provider."""
    # A kept connection may be closed by the provider in the moment in which it is used again: the login would fail.
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(timeout=REQUEST_TIMEOUT, follow_redirects=False, trust_env=False, limits=limits)


def claims_of(section: ProviderSection) -> OidcClaims:
    return OidcClaims(section.user_claim, section.groups_claim, section.scopes)


def read_client(section: ProviderSection, table: str, read: FileReader) -> OidcClient:
    """Raises ``OperatorError`` for a file that cannot be used."""
    secret = _read_secret(section.client_secret_file, f"{table}.client_secret_file", read)
    key, file = None, section.client_key_file
    if file is not None:
        try:
            key = read_client_key(read(file, MAX_KEY), section.client_key_id)
        except (OSError, ClientKeyError) as error:
            raise OperatorError(f"{table}.client_key_file: {file} cannot be used: {error}") from error
    return OidcClient(section.client_id, secret, key)


def _read_secret(file: Path | None, key: str, read: FileReader) -> str:
    if file is None:
        return ""
    try:
        secret = read(file, MAX_SECRET).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{key}: {file} cannot be read: {error}") from error
    if not secret:
        raise OperatorError(f"{key}: {file} is empty")
    return secret
