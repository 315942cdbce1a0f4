# SPDX-License-Identifier: GPL-3.0-or-later
"""``[[vpn.kdc_proxy]]``: Kerberos KDCs that clients reach over the VPN's port."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SkipValidation

from ocsentry.configuration.fields import Section, parsed
from vpn_frontend.settings import Endpoint, KdcRealm, parse_endpoint

MAX_KDC_PROXIES = 32


def _check_path(path: str) -> str:
    """Raises ``ValueError``."""
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or set(path) & set(" ?#%"):
        raise ValueError("should be a path such as /KdcProxy")
    return path


class KdcProxySection(Section):
    """One realm behind one path."""

    table_of_its_own: ClassVar[bool] = True  # in the reference
    path: Annotated[str, AfterValidator(_check_path)] = Field(
        "/KdcProxy", description="Path of the URL that clients have as their KDC.", max_length=256
    )
    realm: str = Field(
        description="Kerberos realm. A request for no realm, or another one, goes to the first of its path.",
        min_length=1,
        max_length=255,
    )
    server: Annotated[SkipValidation[Endpoint], parsed(parse_endpoint)] = Field(
        description="`ADDRESS:PORT` of the KDC, which is asked over TCP."
    )

    def settings(self) -> KdcRealm:
        return KdcRealm(self.path, self.realm, self.server)
