# SPDX-License-Identifier: GPL-3.0-or-later
"""What the configuration says of a provider. Imports neither cryptography nor an HTTP client."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sentry_engine.records import dataclass


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


def file_of_url(text: str) -> Path | None:
    """The file of a ``file:`` URL of this host (RFC 8089); ``None``: it is another URL, or names no absolute path."""
    try:
        url = urlsplit(text)
    except ValueError:
        return None
    path = unquote(url.path)
    if url.scheme != "file" or url.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        return None
    return Path(path)
