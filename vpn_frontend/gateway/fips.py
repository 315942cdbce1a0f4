# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the gateway's wolfSSL is a FIPS 140 module."""

from __future__ import annotations

from vpn_frontend._gateway import ffi, lib


def find_fips_problem() -> str | None:
    """Why ``vpn.fips`` cannot hold, for the operator. ``None``: the module is there, and passed its tests."""
    problem = lib.gw_fips_problem()
    return ffi.string(problem).decode() if problem else None
