# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws Grafana's dashboard as an SVG: the panels in their places, each with the series that Prometheus returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMN, ROW, GAP = 50, 32, 6  # pixels of one unit of Grafana's grid of 24 columns
COLOURS = ("#3274d9", "#56a64b", "#e0b400", "#e02f44", "#8f3bb8", "#ff780a", "#19a5a5", "#7a7a7a")
MAX_SERIES = len(COLOURS)
STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#222}.title{font-weight:600;font-size:12px}.big{font-size:26px}"
    ".panel{fill:#fff;stroke:#d5d5d5}.row{font-weight:600;font-size:14px}polyline{fill:none;stroke-width:1.5}"
)


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a panel: (Unix time, value) pairs."""

    label: str
    points: Sequence[tuple[float, float]]


def expressions_of(panel: Mapping[str, Any], *, interval: str, instance: str) -> list[tuple[str, str]]:
    """Returns the queries of a panel with the dashboard's variables filled in, and their legends."""
    return [
        (target["expr"].replace("$__rate_interval", interval).replace("$instance", instance), target["legendFormat"])
        for target in panel.get("targets", ())
    ]


def read_series(result: Sequence[Mapping[str, Any]], legend: str) -> list[Series]:
    """Returns the series of Prometheus' answer. A value that is no number is left out."""
    found = []
    for one in result:
        label = legend
        for name, value in one["metric"].items():
            label = label.replace(f"{{{{{name}}}}}", value)
        points = [(float(at), float(value)) for at, value in one["values"]]
        found.append(Series(label, [point for point in points if math.isfinite(point[1])]))
    return [series for series in found if series.points]


def draw_dashboard(dashboard: Mapping[str, Any], data: Mapping[int, Sequence[Series]]) -> str:
    """Returns the SVG. ``data`` has the series of each panel by its id."""
    panels = dashboard["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * ROW
    parts = [_draw_panel(panel, data.get(panel["id"], ())) for panel in panels]
    size = f'width="{24 * COLUMN}" height="{height}" viewBox="0 0 {24 * COLUMN} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{escape(dashboard["title"])}</title>'
    return f'{head}<style>{STYLE}</style><rect width="100%" height="100%" fill="#f4f5f5"/>{"".join(parts)}</svg>\n'


def _draw_panel(panel: Mapping[str, Any], series: Sequence[Series]) -> str:
    place = panel["gridPos"]
    left, top = place["x"] * COLUMN + GAP, place["y"] * ROW + GAP
    width, height = place["w"] * COLUMN - 2 * GAP, place["h"] * ROW - 2 * GAP
    if panel["type"] == "row":
        return f'<text class="row" x="{left}" y="{top + 16}">{escape(panel["title"])}</text>'
    unit = panel["fieldConfig"]["defaults"].get("unit", "short")
    frame = f'<rect class="panel" x="{left}" y="{top}" width="{width}" height="{height}" rx="3"/>'
    title = f'<text class="title" x="{left + 8}" y="{top + 16}">{escape(panel["title"])}</text>'
    if not series:
        inside = f'<text x="{left + width / 2 - 20}" y="{top + height / 2}">no data</text>'
    elif panel["type"] == "stat":
        shown = render_value(series[0].points[-1][1], unit)
        inside = f'<text class="big" x="{left + 10}" y="{top + height / 2 + 18}">{escape(shown)}</text>'
    else:
        highest_first = sorted(series, key=lambda one: -max(value for _, value in one.points))[:MAX_SERIES]
        inside = _draw_lines(highest_first, unit, left + 64, top + 26, width - 76, height - 66)
    return f"<g>{frame}{title}{inside}</g>"


def _draw_lines(series: Sequence[Series], unit: str, left: float, top: float, width: float, height: float) -> str:
    times = [at for one in series for at, _ in one.points]
    first, last = min(times), max(times)
    highest = max(value for one in series for _, value in one.points) or 1.0
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = top + height * (1 - share)
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{left - 56}" y="{y + 4:.1f}">{escape(render_value(highest * share, unit))}</text>')
    for number, one in enumerate(series):
        points = " ".join(
            f"{left + width * (at - first) / max(last - first, 1e-9):.1f},{top + height * (1 - value / highest):.1f}"
            for at, value in one.points
        )
        parts.append(f'<polyline stroke="{COLOURS[number]}" points="{points}"/>')
        x, y = left + (number % 4) * width / 4, top + height + 18 + number // 4 * 14
        parts.append(f'<rect x="{x:.1f}" y="{y - 8:.1f}" width="8" height="8" fill="{COLOURS[number]}"/>')
        parts.append(f'<text x="{x + 12:.1f}" y="{y:.1f}">{escape(one.label[:17])}</text>')
    return "".join(parts)


def render_value(value: float, unit: str) -> str:
    """Returns a value in Grafana's unit with three significant digits."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s" and value >= 86_400:
        return f"{value / 86_400:.3g} d"
    if unit == "s" and value < 1:
        return f"{1000 * value:.3g} ms"
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}{_SUFFIXES.get(unit, '')}"
    return f"{value:.3g} {_SUFFIXES.get(unit, '')}".strip()


_SUFFIXES = {"Bps": "B/s", "bytes": "B", "ops": "/s", "pps": "p/s", "s": "s"}
