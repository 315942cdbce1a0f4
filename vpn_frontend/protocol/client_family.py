# SPDX-License-Identifier: GPL-3.0-or-later
"""Families of clients, told apart by their User-Agent, only to spell headers as each of them reads them."""

from __future__ import annotations

from enum import StrEnum


class ClientFamily(StrEnum):
    OPENCONNECT = "openconnect"
    ANYCONNECT = "anyconnect"
    APPLE = "apple"  # AnyConnect on iOS
    OTHER = "other"


# Order matters: the first prefix that fits wins, and some are prefixes of others' names.
_PREFIXES = (
    ("open anyconnect vpn agent", ClientFamily.OPENCONNECT),
    ("openconnect", ClientFamily.OPENCONNECT),
    ("anyconnect-compatible openconnect", ClientFamily.OPENCONNECT),
    ("cisco anyconnect vpn agent for apple", ClientFamily.APPLE),
    ("cisco anyconnect", ClientFamily.ANYCONNECT),
    ("anyconnect", ClientFamily.ANYCONNECT),
)


def client_family(user_agent: str) -> ClientFamily:
    lowered = user_agent.lower()
    return next((family for prefix, family in _PREFIXES if lowered.startswith(prefix)), ClientFamily.OTHER)
