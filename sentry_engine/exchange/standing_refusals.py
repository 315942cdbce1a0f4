# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine refuses by network alone: penalties, blocks, and rejecting prefix rules.

A packet filter in front of the engine can drop these sources. It must never refuse more than the engine, so whatever
makes a rule depend on more than the source's address and one end leaves it out, and every accepting rule is exempt.

A change costs what changed: a block alone is read alone. A change of the rules reads the rules, and all blocks only if
it changes what is exempt.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sentry_engine.exchange.bans import Ban, Exemptions
from sentry_engine.rules.columnar import ColumnarRules, parts_of
from sentry_engine.rules.model import PrefixRule
from sentry_engine.verdict import Action

if TYPE_CHECKING:
    from sentry_engine.cores.interface import BlockedNetwork
    from sentry_engine.engine.engine import Engine
    from sentry_engine.engine.in_force import InForce

MAX_STANDING = 262_144  # networks of blocks and rules that are read; the first ones count
MAX_PIECES = 4096  # into which exemptions may cut one penalty
NEVER = math.inf

Row = tuple[bytes, int]  # a packed network and its length


class Rank(IntEnum):
    """What refuses a network. Where there is no room for all, the first ones matter most."""

    PENALTY = 0
    BLOCK = 1
    RULE = 2


class Refusal(NamedTuple):
    """A packed network that is refused until ``until``, in the engine's clock; ``inf``: without end."""

    network: bytes
    length: int
    until: float
    rank: Rank = Rank.RULE


class Changes(NamedTuple):
    """Refusals that are ``gone`` and ``new`` since the last reading. ``is_whole``: forget all that was read before."""

    gone: Sequence[Refusal]
    new: Sequence[Refusal]
    is_whole: bool


class StandingRefusals:
    """Reads one engine. For one thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._always = Exemptions(engine.never_block)
        self._version = self._policy_version = -1
        self._exempt: frozenset[Row] | None = None  # None: the policy cannot be read as networks
        self._exempt_until = NEVER  # the first end of an accepting rule
        self._spared = Exemptions(())
        self._of_penalties: dict[tuple[bytes, int, float], tuple[Refusal, ...]] = {}
        self._of_blocks: dict[str, tuple[Refusal, ...]] = {}
        self._of_rules: dict[Refusal, None] = {}
        self._standing = 0  # refusals of blocks and rules
        self._is_short = False  # a block found no room

    def read_changes(self, now: float) -> Changes:
        """Returns what changed until ``now``. The first reading is whole: penalties first, then blocks, then rules.

        What has ended may stay among the refusals. The end of an accepting rule makes the next reading whole.
        """
        in_force = self._engine.in_force(self._version)
        is_new_policy = in_force.policy_version != self._policy_version
        exempt = self._exempt
        if is_new_policy or now >= self._exempt_until:
            exempt, self._exempt_until = _exempt_networks(in_force, now)
        if exempt != self._exempt and not in_force.has_all_blocks:
            in_force = self._engine.in_force()  # of each block, what is exempt of it has to be computed again
            exempt, self._exempt_until = _exempt_networks(in_force, now)
        self._version, self._policy_version = in_force.version, in_force.policy_version
        if exempt is None:
            self._exempt = None
            return Changes((), (), is_whole=True)
        if in_force.has_all_blocks:
            return self._read_all(in_force, exempt, now)
        gone, new = self._read_penalties(now)
        self._read_blocks(in_force.blocks, now, gone, new)
        if is_new_policy:
            self._read_rules(in_force, now, gone, new)
        return Changes(gone, new, is_whole=False)

    def _read_all(self, in_force: InForce, exempt: frozenset[Row], now: float) -> Changes:
        self._exempt, self._spared = exempt, Exemptions(exempt)
        self._of_penalties, self._of_blocks, self._of_rules = {}, {}, {}
        self._standing, self._is_short = 0, False
        _, new = self._read_penalties(now)
        self._read_blocks(in_force.blocks, now, [], new)
        self._read_rules(in_force, now, [], new)
        return Changes((), new, is_whole=True)

    def _read_penalties(self, now: float) -> tuple[list[Refusal], list[Refusal]]:
        """Cores do not tell which penalties changed: all are compared with those of the last reading."""
        rows = {(penalty.network, penalty.length, penalty.until) for penalty in self._engine.penalties(now)}
        gone = [piece for row in self._of_penalties.keys() - rows for piece in self._of_penalties.pop(row)]
        new: list[Refusal] = []
        for row in rows - self._of_penalties.keys():
            spared = self._spared.holds(row[0], row[1])
            pieces = () if spared else tuple(islice(self._cut(Refusal(*row, Rank.PENALTY)), MAX_PIECES))
            self._of_penalties[row] = pieces
            new.extend(pieces)
        return gone, new

    def _read_blocks(
        self, blocks: Mapping[str, BlockedNetwork | None], now: float, gone: list[Refusal], new: list[Refusal]
    ) -> None:
        for rule_id, block in blocks.items():
            before = self._of_blocks.pop(rule_id, ())
            self._standing -= len(before)
            gone.extend(before)
            if block is not None:
                until = NEVER if block.expires_at is None else block.expires_at
                pieces = tuple(
                    self._limit(self._refuse([Refusal(block.network, block.length, until, Rank.BLOCK)], now))
                )
                self._of_blocks[rule_id] = pieces
                self._standing += len(pieces)
                new.extend(pieces)
        if self._is_short and self._standing < MAX_STANDING // 2:
            self._version = -1  # the next reading is whole, and finds room for those that were left out

    def _read_rules(self, in_force: InForce, now: float, gone: list[Refusal], new: list[Refusal]) -> None:
        before = self._of_rules
        self._standing -= len(before)
        rows = _rows(in_force.policy.prefix_rules, Action.REJECT, in_force.clock_offset)
        self._of_rules = dict.fromkeys(self._limit(self._refuse(rows, now)))
        self._standing += len(self._of_rules)
        gone.extend(piece for piece in before if piece not in self._of_rules)
        new.extend(piece for piece in self._of_rules if piece not in before)

    def _limit(self, pieces: Iterator[Refusal]) -> Iterator[Refusal]:
        yield from islice(pieces, max(0, MAX_STANDING - self._standing))
        self._is_short |= next(pieces, None) is not None

    def _refuse(self, rows: Iterable[Refusal], now: float) -> Iterator[Refusal]:
        """What is left of the rows that are in force, without what is exempt."""
        for row in rows:
            if row.until > now and not self._always.holds(row.network, row.length):
                yield from self._cut(row)

    def _cut(self, refusal: Refusal) -> Iterator[Refusal]:
        for piece in self._spared.cut_out_of(Ban(refusal.network, refusal.length)):
            yield Refusal(piece.network, piece.length, refusal.until, refusal.rank)


def _exempt_networks(in_force: InForce, now: float) -> tuple[frozenset[Row] | None, float]:
    """The networks of ``never_block`` and of accepting rules, and the first end of one of these.

    ``None``: configurations decide by more than the address.
    """
    if in_force.policy.untranslated():
        return None, NEVER
    rows = _rows(in_force.policy.prefix_rules, Action.ACCEPT, in_force.clock_offset)
    accepted = [row for row in rows if row.until > now]
    networks = frozenset([*in_force.never_block, *((row.network, row.length) for row in accepted)])
    return networks, min((row.until for row in accepted), default=NEVER)


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
