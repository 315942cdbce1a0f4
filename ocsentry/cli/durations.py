# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations and amounts of bytes as text."""

from __future__ import annotations

from ocsentry.cli.invocation import CommandError
from ocsentry.configuration.durations import UNITS, read_duration


def parse_duration(text: str) -> int:
    """Returns the seconds of ``90``, ``90s``, ``15m``, ``1h``, ``2d``, ``1w`` or a sequence such as ``1h30m``."""
    try:
        return read_duration(text)
    except ValueError as error:
        raise CommandError(str(error)) from None


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
