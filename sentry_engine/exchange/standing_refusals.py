# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine refuses by network alone: penalties, blocks, and rejecting prefix rules.

A packet filter in front of the engine can drop these sources. It must never refuse more than the engine, so whatever
makes a rule depend on more than the source's address and one end leaves it out, and every accepting rule is exempt.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sentry_engine.exchange.bans import Ban, Exemptions
from sentry_engine.rules.columnar import ColumnarRules, parts_of
from sentry_engine.rules.model import PrefixRule
from sentry_engine.verdict import Action

if TYPE_CHECKING:
    from sentry_engine.engine.engine import Engine
    from sentry_engine.engine.in_force import InForce

MAX_STANDING = 262_144  # networks of blocks and rules that are read; the first ones count
NEVER = math.inf


class Refusal(NamedTuple):
    """A packed network that is refused until ``until``, in the engine's clock; ``inf``: without end."""

    network: bytes
    length: int
    until: float


class StandingRefusals:
    """Reads one engine, and computes blocks and rules again only after a change. For one thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._version = -1
        self._spared = Exemptions(())
        self._ruled: tuple[Refusal, ...] = ()

    def read(self, now: float) -> Iterator[Refusal]:
        """The refusals at ``now``: penalties first, then blocks, then rules.

        An accepting rule that ended since the last change may still exempt its network.
        """
        in_force = self._engine.in_force()
        if in_force.version != self._version:
            self._compute(in_force, now)
        if in_force.policy.untranslated():
            return  # these configurations decide before the rules, by more than the address
        for penalty in self._engine.penalties(now):
            if not self._spared.holds(penalty.network, penalty.length):
                yield from self._cut(Refusal(penalty.network, penalty.length, penalty.until))
        yield from (refusal for refusal in self._ruled if refusal.until > now)

    def _compute(self, in_force: InForce, now: float) -> None:
        rules = in_force.policy.prefix_rules
        accepted = (row for row in _rows(rules, Action.ACCEPT, in_force.clock_offset) if row.until > now)
        self._spared = Exemptions([*in_force.never_block, *((row.network, row.length) for row in accepted)])
        always = Exemptions(in_force.never_block)
        rejected = (
            *(Refusal(b.network, b.length, NEVER if b.expires_at is None else b.expires_at) for b in in_force.blocks),
            *_rows(rules, Action.REJECT, in_force.clock_offset),
        )
        pieces = (
            piece
            for row in rejected
            if row.until > now and not always.holds(row.network, row.length)
            for piece in self._cut(row)
        )
        self._ruled = tuple(islice(pieces, MAX_STANDING))
        self._version = in_force.version

    def _cut(self, refusal: Refusal) -> Iterator[Refusal]:
        for piece in self._spared.cut_out_of(Ban(refusal.network, refusal.length)):
            yield Refusal(piece.network, piece.length, refusal.until)


def _rows(rules: Iterable[PrefixRule], action: Action, clock_offset: float) -> Iterator[Refusal]:
    """The prefixes of all rules with ``action``. Rejecting rules with a schedule are left out."""
    for part in parts_of(rules):
        if part.action is not action:
            continue
        if isinstance(part, ColumnarRules):
            yield from (Refusal(network, length, NEVER) for network, length in part.prefixes)
        elif action is Action.ACCEPT or not part.schedule:
            until = NEVER if part.expires_at is None else part.expires_at - clock_offset
            yield from (Refusal(network, length, until) for network, length in part.prefixes)
