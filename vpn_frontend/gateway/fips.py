# SPDX-License-Identifier: GPL-3.0-or-later
"""``vpn.fips``: whether the gateway's wolfSSL is a FIPS 140 module, and what may be negotiated then."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vpn_frontend.settings import CipherName, VpnSettings

CIPHERS: frozenset[CipherName] = frozenset(
    {
        "TLS13-AES256-GCM-SHA384",
        "TLS13-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
    }
)


def find_fips_problem() -> str | None:
    """Why ``vpn.fips`` cannot hold, for the operator. ``None``: the module is there, and passed its tests."""
    from vpn_frontend._gateway import ffi, lib  # noqa: PLC0415 - load the C core only where it is asked for

    problem = lib.gw_fips_problem()
    return ffi.string(problem).decode() if problem else None


def restrict_to_fips(settings: VpnSettings) -> VpnSettings:
    """``settings`` with approved suites only, and without DTLS whose secret the client chooses."""
    return replace(
        settings,
        ciphers=tuple(name for name in settings.ciphers if name in CIPHERS),
        dtls_modes=tuple(mode for mode in settings.dtls_modes if mode != "resumption"),
    )
