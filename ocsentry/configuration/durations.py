# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as text: ``90s``, ``15m``, ``1h``, ``2d``, ``1w``, or a sequence of them."""

from __future__ import annotations

import re

from admin_api.http.values import MAX_TTL

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def read_duration(text: str) -> int:
    """Returns the seconds; a number alone is seconds too. Raises ``ValueError``."""
    if text.isascii() and text.isdigit():
        text += "s"
    parts = re.findall(r"([0-9]{1,9})([smhdw])", text)
    seconds = sum(int(number) * UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not 0 < seconds <= MAX_TTL:
        raise ValueError(f"{text!r} is not a duration: write 90s, 15m, 1h, 2d or 1w")
    return seconds
