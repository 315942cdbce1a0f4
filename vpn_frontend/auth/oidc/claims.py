# SPDX-License-Identifier: GPL-3.0-or-later
"""What the configuration says of a provider. Imports neither cryptography nor an HTTP client."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class OidcClaims:
    """Which claims name the user and the groups, and what is asked for."""

    user: str = "preferred_username"
    groups: str = "groups"
    scopes: tuple[str, ...] = ("profile", "email")


def is_secure_url(text: str) -> bool:
    """True for https, and for http on this host: secrets and codes pass over it."""
    try:
        url = urlsplit(text)
        host = url.hostname or ""
    except ValueError:
        return False
    if url.scheme == "https":
        return bool(host)
    try:
        return url.scheme == "http" and (host == "localhost" or ip_address(host).is_loopback)
    except ValueError:
        return False
