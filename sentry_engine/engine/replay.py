# SPDX-License-Identifier: GPL-3.0-or-later
"""Replay of recorded decisions on another policy, in an engine of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sentry_engine.addresses import AddressError, Network, pack_address, render_address
from sentry_engine.cores.factory import CoreName
from sentry_engine.engine.decision_log import Decision
from sentry_engine.engine.engine import Engine
from sentry_engine.policy.policy import Policy
from sentry_engine.records import dataclass
from sentry_engine.rules.model import BLOCK_ID_PREFIX
from sentry_engine.verdict import Action, Reason, Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """A recorded decision with another outcome: ``after`` instead of ``before``."""

    decision: Decision
    before: Verdict
    after: Verdict


def read_record(at: float, fields: Mapping[str, Any]) -> Decision | None:
    """The decision of an event with ``address``, ``event``, ``verdict`` and ``reason``; ``at`` is Unix time.

    ``rule``, ``user``, ``latency_us`` and ``missed`` are optional. Returns ``None`` for any other event.
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
    """The ``decisions`` that ``policy`` would change: another action, or a refusal by another rule.

    They are replayed in the order of their times and count, so rates and penalties build up as they would have. Limits:
    decisions that the log left out are missing, so rates come out low. Refusals by blocks are skipped, because blocks
    outlive a policy. Groups are not recorded, so rules about groups see none.
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
