# SPDX-License-Identifier: GPL-3.0-or-later
"""Times and sizes as occtl writes them. Pure."""

from __future__ import annotations

import re
from datetime import datetime

DAY, HOUR, MINUTE = 86_400, 3_600, 60
TLS13 = "TLS13"  # begins the names of TLS 1.3's ciphers
SUITE = re.compile(r"(?:(?P<exchange>[A-Z0-9-]+)-)?(?:AES(?P<bits>128|256)-GCM|CHACHA20-POLY1305)")
UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def show_moment(moment: datetime) -> str:
    """Local time, ``2026-08-15 12:01``."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def read_moment(text: str) -> datetime:
    """A time of the API. Raises ``ValueError``."""
    return datetime.fromisoformat(text)


def show_interval(seconds: float) -> str:
    """Seven characters: `` 2days``, ``41h:06m``, `` 1m:34s``, ``   28s``. A negative interval is ``   ?   ``."""
    whole = int(seconds)
    if seconds < 0:
        return "   ?   "
    if whole >= 2 * DAY:
        return f"{whole // DAY:2}days"
    if whole >= HOUR:
        return f"{whole // HOUR:2}h:{whole // MINUTE % 60:02}m"
    if whole > MINUTE:
        return f"{whole // MINUTE:2}m:{whole % MINUTE:02}s"
    return f"{whole:5}s"


def show_cipher(version: str, name: str) -> str:
    """As GnuTLS writes it: ``(DTLS1.2)-(PSK)-(AES-256-GCM)``. ``name`` is OpenSSL's, such as ``PSK-AES256-GCM-SHA384``.

    TLS 1.3 names no key exchange. A name of another form is shown as it is.
    """
    found = SUITE.match(name)
    if found is None:
        return f"({version})-({name})"
    cipher = f"AES-{found['bits']}-GCM" if found["bits"] else "CHACHA20-POLY1305"
    exchange = "" if found["exchange"] == TLS13 else f"-({found['exchange'] or 'RSA'})"
    return f"({version}){exchange}-({cipher})"


def show_bytes(count: float, suffix: str = "") -> str:
    """``0 bytes``, ``1.2 kB``, with decimal units. ``suffix`` is ``/s`` for rates."""
    for size, unit in UNITS:
        if count > 1000 and count >= size:
            return f"{count / size:.1f} {unit}{suffix}"
    return f"{int(count)} bytes{suffix}"


def show_seconds(seconds: float) -> str:
    """``<1ms``, ``120ms``, ``3s``."""
    if seconds < 0.001:
        return "<1ms"
    return f"{int(seconds * 1000)}ms" if seconds < 1 else f"{int(seconds)}s"
