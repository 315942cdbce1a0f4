# SPDX-License-Identifier: GPL-3.0-or-later
"""An SVG bar chart of how many times better the first server is, without scripts or embedded fonts."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report import Report

BARS, BAR, GAP, RIGHT, TOP = 390, 16, 8, 90, 46
LETTER = 6.2  # width of a letter; the longest name decides where bars begin
BETTER, WORSE = "#2b7a4b", "#b3452c"
LARGEST = 100.0  # times; longer bars are cut there and still show their number


def render(report: Report) -> str:
    ours, *others = report.labels
    shown = [
        (row.name if label == others[0] else f"{row.name} ({label})", advantage)
        for label in others
        for row in report.rows.values()
        if (advantage := row.advantage(ours, label))
    ]
    left = 20 + LETTER * max((len(name) for name, _ in shown), default=0)
    width = left + BARS + RIGHT
    reach = max((abs(_length(advantage)) for _, advantage in shown), default=1.0) or 1.0
    zero = left + BARS * (0.15 if any(advantage < 1 for _, advantage in shown) else 0.0)
    scale = (left + BARS - zero) / reach
    height = TOP + len(shown) * (BAR + GAP) + GAP
    style = 'font-family="sans-serif" font-size="12"'
    title = f"{ours} against {', '.join(others)}: times better (logarithmic)"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" {style}>',
        f'<rect width="{width:.0f}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="20" font-size="14">{escape(title)}</text>',
        f'<text x="12" y="36" fill="#555555">{escape(report.began.strftime("%Y-%m-%d"))}, medians</text>',
        f'<line x1="{zero:.1f}" y1="{TOP - 4}" x2="{zero:.1f}" y2="{height - GAP}" stroke="#888888"/>',
    ]
    for number, (name, advantage) in enumerate(shown):
        y = TOP + number * (BAR + GAP)
        length = _length(advantage) * scale
        x, colour = (zero, BETTER) if length >= 0 else (max(left, zero + length), WORSE)
        extent = length if length >= 0 else zero - x
        parts += [
            f'<text x="{left - 8:.0f}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{x:.1f}" y="{y}" width="{extent:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{zero + max(length, 0) + 6:.1f}" y="{y + 12}">{advantage:.3g}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])


def _length(advantage: float) -> float:
    """Logarithm of the factor: 2 and 1/2 have the same length in opposite directions."""
    return math.log(min(max(advantage, 1 / LARGEST), LARGEST))
