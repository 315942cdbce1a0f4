# SPDX-License-Identifier: GPL-3.0-or-later
"""Families of clients by their User-Agent. Only the spelling of headers depends on it."""

from __future__ import annotations

import re
from enum import StrEnum


class ClientFamily(StrEnum):
    OPENCONNECT = "openconnect"
    OPENCONNECT_3 = "openconnect_3"  # and before: takes no IPv6 routes and servers
    ANYCONNECT = "anyconnect"
    APPLE = "apple"  # AnyConnect on iOS
    OTHER = "other"


_OPENCONNECT = "open anyconnect vpn agent"  # the name of openconnect up to 9.01
_OLD_OPENCONNECT = re.compile(rf"{_OPENCONNECT} v[0-3](?![0-9])")
# The first prefix that fits wins, so longer ones come before their own prefixes.
_PREFIXES = (
    (_OPENCONNECT, ClientFamily.OPENCONNECT),
    ("openconnect", ClientFamily.OPENCONNECT),
    ("anyconnect-compatible openconnect", ClientFamily.OPENCONNECT),
    ("cisco anyconnect vpn agent for apple", ClientFamily.APPLE),
    ("cisco anyconnect", ClientFamily.ANYCONNECT),
    ("anyconnect", ClientFamily.ANYCONNECT),
)


def client_family(user_agent: str) -> ClientFamily:
    """The family of a User-Agent."""
    lowered = user_agent.lower()
    if _OLD_OPENCONNECT.match(lowered):
        return ClientFamily.OPENCONNECT_3
    return next((family for prefix, family in _PREFIXES if lowered.startswith(prefix)), ClientFamily.OTHER)
