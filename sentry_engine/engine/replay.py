# SPDX-License-Identifier: GPL-3.0-or-later
"""What another policy would have said to what was asked: recorded decisions, played again on an engine of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sentry_engine.addresses import AddressError, Network, pack_address, render_address
from sentry_engine.cores.factory import CoreName
from sentry_engine.engine.decision_log import Decision
from sentry_engine.engine.engine import Engine
from sentry_engine.policy.policy import Policy
from sentry_engine.rules.model import BLOCK_ID_PREFIX
from sentry_engine.verdict import Action, Reason, Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """A recorded decision that would be another, ``after`` in place of ``before``."""

    decision: Decision
    before: Verdict
    after: Verdict


def read_record(at: float, fields: Mapping[str, Any]) -> Decision | None:
    """A decision from what an event of it says (``address``, ``event``, ``verdict``, ``reason``, and where they are
    known ``rule``, ``user``, ``latency_us``). ``None`` for what is no such event. ``at`` is Unix time.
    """
    try:
        verdict = Verdict(Action(fields["verdict"]), Reason(fields["reason"]), fields.get("rule"))
        packed, event = pack_address(fields["address"]), fields["event"]
        latency = float(fields.get("latency_us") or 0.0) / 1e6
        missed = int(fields.get("missed") or 0)
    except (KeyError, ValueError, TypeError, AddressError):
        return None
    return Decision(at, str(event), packed, fields.get("user"), verdict, latency, missed=missed)


def simulate(
    policy: Policy,
    decisions: Iterable[Decision],
    *,
    never_block: Iterable[Network] = (),
    core: CoreName = "native",
) -> list[Change]:
    """Which of ``decisions`` ``policy`` would have decided otherwise: another action, or another rule refusing.

    They are played in the order of their times, and count, so that rates and penalties build up as they would have.
    What the log left out is missing here too: on a thinned-out record rates come out low. What a block refused is left
    out: blocks outlive a policy. A user's groups are not on record: rules about groups are asked as if there were none.
    """
    changes = []
    with Engine(policy, core=core, never_block=never_block, clock=lambda: 0.0, wall_clock=lambda: 0.0) as engine:
        for decision in sorted(decisions, key=lambda d: d.at):
            if (decision.verdict.rule_id or "").startswith(BLOCK_ID_PREFIX):
                continue
            address = render_address(decision.packed)
            after = engine.decide(decision.event, address, user=decision.user, now=decision.at)
            before = decision.verdict
            same_rule = before.rule_id == after.rule_id or before.accepted
            if before.action is not after.action or not same_rule:
                changes.append(Change(decision, before, after))
    return changes
