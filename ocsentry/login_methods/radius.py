# SPDX-License-Identifier: GPL-3.0-or-later
"""``radius``: users of RADIUS servers; the servers are for accounting too."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from vpn_frontend.auth.radius.method import RadiusMethod
from vpn_frontend.radius.link import Target
from vpn_frontend.radius.servers import RadiusServers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method
    from vpn_frontend.gateway.certificates.server_certificate import FileReader

MAX_SECRET = 1024  # bytes


class SecretFileError(OperatorError):
    """A file holds no secret that can be used."""


@asynccontextmanager
async def open_radius(context: MethodContext) -> AsyncIterator[Method]:
    settings = context.config.values.auth.radius.settings()
    servers = open_servers(context, purpose="login")
    try:
        yield RadiusMethod(servers, settings, context.directory)
    finally:
        servers.close()


def open_servers(context: MethodContext, *, purpose: str) -> RadiusServers:
    """The configured servers, for logins or for ``accounting``. Raises ``SecretFileError``."""
    settings = context.config.values.auth.radius.settings()
    targets = [
        Target(
            server.accounting if purpose == "accounting" else server.address,
            read_secret(server.secret_file, context.helper.read_key),
            server.require_message_authenticator,
            float(settings.timeout),
            settings.retries,
        )
        for server in settings.servers
    ]
    return RadiusServers(
        targets, purpose=purpose, dead_time=float(settings.dead_time), events=context.events, clock=time.monotonic
    )


def read_secret(path: Path, read: FileReader) -> bytes:
    """The secret in a file, without the line end. Raises ``SecretFileError``."""
    try:
        secret = read(path, MAX_SECRET + 1).rstrip(b"\r\n")
    except OSError as error:
        raise SecretFileError(f"auth.radius.servers: {path}: cannot be read: {error.strerror or error}") from error
    if not secret or len(secret) > MAX_SECRET or b"\n" in secret:
        raise SecretFileError(f"auth.radius.servers: {path}: not one line with a secret")
    return secret
