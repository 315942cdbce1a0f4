# SPDX-License-Identifier: GPL-3.0-or-later
"""``stats``: what the server counted in the last hour, day or month, as small charts."""

from __future__ import annotations

import sys
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any

import typer

from admin_api.time_series import Resolution
from ocsentry.cli.durations import format_bytes, format_duration
from ocsentry.cli.invocation import Invocation, command, count
from ocsentry.cli.tables import render_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

COLUMNS = ("series", "latest", "least", "most", "total", "chart")
CELLS = 24  # of a chart, at most; it fits a terminal of 80 columns
BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.-=+*%#"  # for an output that cannot encode the others
IN_BYTES = frozenset({"rx_bytes", "tx_bytes"})


def add_commands(app: typer.Typer) -> None:
    command(app, "stats")(stats)


def stats(
    cli: Invocation,
    resolution: Annotated[
        Resolution, typer.Option(help="The last hour in steps of 10 s, day of 2 min, or month of 1 h.")
    ] = Resolution.HOUR,
) -> None:
    """Show sessions, logins, verdicts and traffic over time, as small charts. A restart begins them again."""
    answer = cli.server.get("stats", resolution=resolution.value)
    cli.emit(answer, render_stats(answer, _bars_of(sys.stdout.encoding)))


def render_stats(answer: dict[str, Any], bars: str = BARS) -> str:
    """Returns a table with a chart for each series, from an answer of ``/stats``."""
    at, step = answer["at"], format_duration(answer["step"])
    if not at:
        return f"no samples yet: a step takes {step}, and the first one begins with the server"
    rows = [_row(name, values, bars, total=False) for name, values in answer["gauges"].items()]
    rows += [_row(name, values, bars, total=True) for name, values in answer["counters"].items()]
    return f"{count(len(at), 'step')} of {step} until {at[-1]}\n\n{render_table(rows, COLUMNS)}"


def _row(name: str, values: Sequence[float], bars: str, *, total: bool) -> dict[str, str | None]:
    """Returns the row of a gauge, or of a counter, whose steps have a ``total``."""
    show = format_bytes if name in IN_BYTES else _number
    return {
        "series": name,
        "latest": show(values[-1]),
        "least": show(min(values)),
        "most": show(max(values)),
        "total": show(sum(values)) if total else None,
        "chart": chart(values, bars, sum if total else max),
    }


def chart(values: Sequence[float], bars: str, combine: Callable[[Sequence[float]], float]) -> str:
    """Returns a bar for each of at most ``CELLS`` parts of ``values``, from zero to the highest. Zero alone has the
    lowest bar.
    """
    parts = [combine(part) for part in _parts(values)]
    highest = max(parts, default=0.0)
    rest = len(bars) - 1
    return "".join(bars[min(rest, ceil(part / highest * rest)) if part > 0 else 0] for part in parts)


def _parts(values: Sequence[float]) -> Iterator[Sequence[float]]:
    """Yields ``values`` in parts of one length; the oldest may be shorter."""
    length = max(1, ceil(len(values) / CELLS))
    first = len(values) % length
    if first:
        yield values[:first]
    for start in range(first, len(values), length):
        yield values[start : start + length]


def _number(value: float) -> str:
    return f"{value:.0f}"


def _bars_of(encoding: str | None) -> str:
    try:
        BARS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return PLAIN_BARS
    return BARS
