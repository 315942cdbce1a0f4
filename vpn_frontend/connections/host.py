# SPDX-License-Identifier: GPL-3.0-or-later
"""What the connections of one virtual host share. Logins and sessions of one host are unknown to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.x509 import CertificateRevocationList

    from vpn_frontend.auth.authenticator import Authenticator
    from vpn_frontend.auth.certificate.identity import CertificateFields
    from vpn_frontend.protocol.connection import PortalConfig


@dataclass(slots=True)
class Host:
    """``name`` is empty for the server itself. ``portal`` is that of connections to come.

    ``revoked`` are the lists that TLS does not look into. ``certificate_fields`` say where a client's certificate names
    groups; ``None``: they are not offered.
    """

    name: str
    portal: PortalConfig
    authenticator: Authenticator
    revoked: Sequence[CertificateRevocationList] = ()
    certificate_fields: CertificateFields | None = None
