# SPDX-License-Identifier: GPL-3.0-or-later
"""What another policy would have said to what was asked: recorded decisions, played again on an engine of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sentry_engine.addresses import Network, render_address
from sentry_engine.decision_log import Decision
from sentry_engine.engine import Engine
from sentry_engine.policy import Policy
from sentry_engine.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """A recorded decision that would be another, ``after`` in place of ``before``."""

    decision: Decision
    before: Verdict
    after: Verdict


def simulate(
    policy: Policy,
    decisions: Iterable[Decision],
    *,
    never_block: Iterable[Network] = (),
    core: Literal["native", "twin"] = "twin",
) -> list[Change]:
    """Which of ``decisions`` ``policy`` would have decided otherwise: another action, or another rule refusing.

    They are played in the order of their times, and count, so that rates and penalties build up as they would have.
    What the log left out is missing here too: on a thinned-out record rates come out low.
    """
    changes = []
    with Engine(policy, core=core, never_block=never_block, clock=lambda: 0.0, wall_clock=lambda: 0.0) as engine:
        for decision in sorted(decisions, key=lambda d: d.at):
            address = render_address(decision.packed)
            after = engine.decide(decision.event, address, user=decision.user, now=decision.at)
            before = decision.verdict
            same_rule = before.rule_id == after.rule_id or before.accepted
            if before.action is not after.action or not same_rule:
                changes.append(Change(decision, before, after))
    return changes
