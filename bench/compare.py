# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs beside each other: by how much each figure of a server changed, and whether the change is more than chance.

A ratio above 1 favours the second run, whatever is better. Its bounds come from the extremes of the readings: the best
of the first beside the worst of the second, and the reverse. A figure is *worse* if even the bound that favours the
second run is more than ``WORSE`` below 1, and both runs have at least ``ROUNDS`` readings of it. Figures of different
processors are shown and never judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.report import shorten

if TYPE_CHECKING:
    from bench.report import Report, Row

WORSE = 0.03
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one server in both runs. ``low`` and ``high`` bound ``ratio``; above 1 the second is better."""

    name: str
    unit: str
    before: float
    after: float
    ratio: float
    low: float
    high: float
    rounds: int  # readings of the run that has fewer

    @property
    def verdict(self) -> str:
        worse, better = self.high < 1 - WORSE, self.low > 1 + WORSE
        if not worse and not better:
            return ""
        if self.rounds < ROUNDS:
            return "few rounds"
        return "worse" if worse else "better"


def compare(first: Report, second: Report, server: str) -> list[Change]:
    """The figures that both runs have of ``server``. One that is 0 has no ratio and is left out."""
    pairs = [(row, second.rows[name]) for name, row in first.rows.items() if name in second.rows]
    found = (_change(before, after, server) for before, after in pairs)
    return [change for change in found if change is not None]


def is_judged(first: Report, second: Report) -> bool:
    return bool(first.machine["processor"] == second.machine["processor"])


def render(first: Report, second: Report, server: str) -> str:
    """Markdown: what was compared, one row per figure, and how many are worse."""
    changes, judged = compare(first, second, server), is_judged(first, second)
    lines = [
        f"{server}: {_describe(first)}, beside {_describe(second)}.",
        "",
        "| figure | unit | first | second | ratio | bounds | |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for change in changes:
        cells = (change.name, change.unit, shorten(change.before), shorten(change.after), f"{change.ratio:.3f}")
        bounds = f"{change.low:.3f} to {change.high:.3f}"
        lines.append(f"| {' | '.join(cells)} | {bounds} | {change.verdict if judged else ''} |")
    worse = sum(change.verdict == "worse" for change in changes)
    said = f"{worse} of {len(changes)} figures are worse by more than {100 * WORSE:.0f} %, beyond their bounds."
    return "\n".join([*lines, "", said if judged else "Different processors: nothing is judged."])


def is_worse(first: Report, second: Report, server: str) -> bool:
    """True if a figure is worse. Raises ``ValueError`` if the runs share no figure: nothing would be compared."""
    changes = compare(first, second, server)
    if not changes:
        raise ValueError(f"the two runs have no figure of {server} in common")
    return is_judged(first, second) and any(change.verdict == "worse" for change in changes)


def _describe(run: Report) -> str:
    return f"`{run.command}` of {run.began:%Y-%m-%d %H:%M} on {run.machine['processor']}"


def _change(before: Row, after: Row, server: str) -> Change | None:
    old, new = before.values.get(server, []), after.values.get(server, [])
    middle = before.median(server), after.median(server)
    if not all(middle) or min([*old, *new], default=0) <= 0:
        return None
    first, second = middle[0] or 0.0, middle[1] or 0.0
    if before.more_is_better:
        ratio, low, high = second / first, min(new) / max(old), max(new) / min(old)
    else:
        ratio, low, high = first / second, min(old) / max(new), max(old) / min(new)
    return Change(before.name, before.unit, first, second, ratio, low, high, min(len(old), len(new)))
