# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of ``Engine.explain``: the walk through the tiers, and its text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sentry_engine.cores.interface import Step
from sentry_engine.records import dataclass
from sentry_engine.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Explanation:
    """``steps`` are the tiers in the order of the walk; exactly one of them is decisive."""

    address: str
    event: str
    verdict: Verdict
    steps: tuple[Step, ...]

    def lines(self) -> Iterator[str]:
        """One line per tier."""
        for step in self.steps:
            mark = "=>" if step.decisive else "  "
            if step.matched is None and step.reason is None:
                yield f"{mark} {step.tier}: nothing matches"
                continue
            action = step.action.value if step.action else "no opinion"
            rule = f" by rule {step.rule_id}" if step.rule_id else ""
            yield f"{mark} {step.tier}: {step.matched or 'always'} -> {action} ({step.reason}){rule}"


def add_user_step(
    verdict: Verdict, steps: Sequence[Step], user: str, refusal: Verdict | None
) -> tuple[Verdict, list[Step]]:
    """Append the step of the user's rules. ``refusal`` decides if all earlier tiers accepted."""
    if refusal is None:
        return verdict, [*steps, Step("user", None, None, None, None, decisive=False)]
    decides = verdict.accepted
    earlier = [replace(step, decisive=False) for step in steps] if decides else steps
    mine = Step("user", user, refusal.rule_id, refusal.action, refusal.reason, decisive=decides)
    return refusal if decides else verdict, [*earlier, mine]
