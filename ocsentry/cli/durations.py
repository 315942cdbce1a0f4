# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations and amounts of bytes as text."""

from __future__ import annotations

import re

from admin_api.http.values import MAX_TTL
from ocsentry.cli.invocation import CommandError

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def parse_duration(text: str) -> int:
    """Returns the seconds of ``90``, ``90s``, ``15m``, ``1h``, ``2d``, ``1w`` or a sequence such as ``1h30m``."""
    if text.isascii() and text.isdigit():
        text += "s"
    parts = re.findall(r"([0-9]{1,9})([smhdw])", text)
    seconds = sum(int(number) * UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not 0 < seconds <= MAX_TTL:
        raise CommandError(f"{text!r} is not a duration: write 90s, 15m, 1h, 2d or 1w")
    return seconds


def format_duration(seconds: float) -> str:
    """Returns the two largest units: ``2d 3h``, ``5m 10s``, ``0s``."""
    rest = int(seconds)
    parts = []
    for unit in ("d", "h", "m", "s"):
        number, rest = divmod(rest, UNITS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"


def format_bytes(count: float) -> str:
    """Returns ``0 B``, ``1.5 kB``, ``20 MB``, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
