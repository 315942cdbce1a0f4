# SPDX-License-Identifier: GPL-3.0-or-later
"""The templates with their filters. All text is escaped; a template decides nothing about permissions by itself."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import quote

import jinja2

FOLDER = Path(__file__).with_name("templates")
STATIC = Path(__file__).with_name("static")
UNITS = ("B", "kB", "MB", "GB", "TB")
STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@cache
def environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        size=size, span=span, moment=moment, segment=segment, pretty=pretty, words=words, data_image=data_image
    )
    return made


def size(count: float) -> str:
    """Bytes with three significant digits, in powers of 1000."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.3g} {UNITS[unit]}"


def span(seconds: float) -> str:
    """Seconds in the largest unit that fits: ``3 d``, ``45 min``."""
    whole = max(0, int(seconds))
    for length, unit in STEPS:
        if whole >= length:
            return f"{whole // length} {unit}"
    return "0 s"


def moment(text: str) -> datetime:
    """Returns the time that an ISO 8601 text of the API names, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def segment(text: str) -> str:
    """Quotes text as one segment of a path."""
    return quote(str(text), safe="")


def pretty(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def words(name: str) -> str:
    """Returns a code as words: ``rate_limit`` becomes ``rate limit``."""
    return str(name).replace("_", " ")


def data_image(svg: str) -> str:
    """Returns a picture as a URL: a policy of the page keeps scripts in it from running."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
