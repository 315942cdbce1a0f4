# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``Engine.explain`` returns: the walk through the tiers, and a way to read it aloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sentry_engine.cores.interface import Step
from sentry_engine.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Explanation:
    """``steps`` are the tiers in the order of the walk; exactly one of them is decisive."""

    address: str
    event: str
    verdict: Verdict
    steps: tuple[Step, ...]

    def lines(self) -> Iterator[str]:
        """One line per tier, for a terminal."""
        for step in self.steps:
            mark = "=>" if step.decisive else "  "
            if step.matched is None and step.reason is None:
                yield f"{mark} {step.tier}: nothing matches"
                continue
            said = step.action.value if step.action else "no opinion"
            rule = f" by rule {step.rule_id}" if step.rule_id else ""
            yield f"{mark} {step.tier}: {step.matched or 'always'} -> {said} ({step.reason}){rule}"
