# SPDX-License-Identifier: GPL-3.0-or-later
"""``certificate``: the certificates that clients present. TLS verifies them by ``auth.certificate.ca``."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vpn_frontend.auth.certificate_identity import CertificateFields
from vpn_frontend.auth.client_certificate import CertificateMethod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method


@asynccontextmanager
async def open_certificate(context: MethodContext) -> AsyncIterator[Method]:
    auth = context.config.vpn.auth
    fields = CertificateFields(auth.certificate.user_field, auth.certificate.group_field)
    yield CertificateMethod(context.directory, fields)
