# SPDX-License-Identifier: GPL-3.0-or-later
"""Families of clients by their User-Agent. Only the spelling of headers depends on it."""

from __future__ import annotations

from enum import StrEnum


class ClientFamily(StrEnum):
    OPENCONNECT = "openconnect"
    ANYCONNECT = "anyconnect"
    APPLE = "apple"  # AnyConnect on iOS
    OTHER = "other"


# The first prefix that fits wins, so longer ones come before their own prefixes.
_PREFIXES = (
    ("open anyconnect vpn agent", ClientFamily.OPENCONNECT),
    ("openconnect", ClientFamily.OPENCONNECT),
    ("anyconnect-compatible openconnect", ClientFamily.OPENCONNECT),
    ("cisco anyconnect vpn agent for apple", ClientFamily.APPLE),
    ("cisco anyconnect", ClientFamily.ANYCONNECT),
    ("anyconnect", ClientFamily.ANYCONNECT),
)


def client_family(user_agent: str) -> ClientFamily:
    """The family of a User-Agent."""
    lowered = user_agent.lower()
    return next((family for prefix, family in _PREFIXES if lowered.startswith(prefix)), ClientFamily.OTHER)
