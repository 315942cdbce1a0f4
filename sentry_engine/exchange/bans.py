# SPDX-License-Identifier: GPL-3.0-or-later
"""Bans, which other tools exchange: a network that is refused until a time, with a reason."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from sentry_engine.addresses import (
    V4_OFFSET,
    Network,
    covers,
    is_ipv4,
    mask,
    pack_network,
    render_address,
    render_network,
)
from sentry_engine.records import dataclass
from sentry_engine.rules.model import PrefixRule
from sentry_engine.rules.schedules import is_open
from sentry_engine.verdict import Action

if TYPE_CHECKING:
    from sentry_engine.engine.engine import Engine

MAX_BANS = 1_000_000  # in one imported file


@dataclass(frozen=True, slots=True)
class Ban:
    """``until`` is Unix time; ``None``: permanent."""

    network: bytes  # packed
    length: int
    until: float | None = None
    reason: str = ""

    @classmethod
    def of(cls, network: Network, until: float | None = None, reason: str = "") -> Ban:
        """Raises ``AddressError``."""
        return cls(*pack_network(network), until, reason)

    @property
    def text(self) -> str:
        """``192.0.2.1`` for an address, ``192.0.2.0/24`` for a network."""
        return render_address(self.network) if self.length == 128 else render_network(self.network, self.length)

    @property
    def end(self) -> float:
        return float("inf") if self.until is None else self.until


def bans_in_force(engine: Engine, wall_now: float) -> Iterator[Ban]:
    """The bans of ``engine`` in force: penalties, blocks, and the rejecting rules of its policy.

    Other tools know no exemptions, so networks of ``never_block`` and accepting rules are cut out of each ban.
    """
    rules = [rule for rule in (*engine.blocks(), *engine.policy.prefix_rules) if is_live(rule, wall_now)]
    always = Exemptions(engine.never_block)
    spared = Exemptions([*engine.never_block, *(row for r in rules if r.action is Action.ACCEPT for row in r.prefixes)])
    for kept in engine.export_penalties():
        ban = Ban.of(kept.network, kept.until, kept.rule_id or kept.reason.value)
        if not spared.holds(ban.network, ban.length):  # an accepting rule wins over a penalty, however wide it is
            yield from spared.cut_out_of(ban)
    for rule in rules:
        if rule.action is Action.REJECT:
            for network, length in rule.prefixes:
                if not always.holds(network, length):
                    yield from spared.cut_out_of(Ban(network, length, rule.expires_at, rule.description or rule.id))


def is_live(rule: PrefixRule, wall_now: float) -> bool:
    return (rule.expires_at is None or wall_now < rule.expires_at) and is_open(rule.schedule, wall_now)


class Exemptions:
    """Packed networks exempt from bans."""

    def __init__(self, networks: Iterable[tuple[bytes, int]]) -> None:
        self._by_length: dict[int, set[bytes]] = {}
        longest: dict[bool, dict[int, int]] = {True: {}, False: {}}
        for network, length in networks:
            self._by_length.setdefault(length, set()).add(network)
            family, start = longest[_is_v4(network, length)], int.from_bytes(network)
            family[start] = max(length, family.get(start, 0))
        self._longest = longest  # length by first address
        self._starts = {family: sorted(found) for family, found in longest.items()}

    def holds(self, network: bytes, length: int) -> bool:
        """True if one of them equals or contains this network."""
        is_v4 = _is_v4(network, length)
        return any(
            mask(network, wide) in known and _is_v4(network, wide) is is_v4
            for wide, known in self._by_length.items()
            if wide <= length
        )

    def cut_out_of(self, ban: Ban) -> Iterator[Ban]:
        """Yield the ban without the exempt networks inside it, in as few pieces as possible."""
        family = _is_v4(ban.network, ban.length)
        starts, longest = self._starts[family], self._longest[family]
        pieces = [(ban.network, ban.length)]
        while pieces:
            network, length = pieces.pop()
            start, size = int.from_bytes(network), 1 << (128 - length)
            if longest.get(start, -1) < length and bisect_right(starts, start) == bisect_left(starts, start + size):
                yield replace(ban, network=network, length=length)
            elif network not in self._by_length.get(length, ()):
                half = (start + size // 2).to_bytes(16)
                pieces += [(half, length + 1), (network, length + 1)]


def _is_v4(network: bytes, length: int) -> bool:
    return length >= V4_OFFSET and is_ipv4(network)


def collapse(bans: Iterable[Ban]) -> list[Ban]:
    """Sorted bans without those inside a wider one that lasts as long, as interval sets require."""
    kept: list[Ban] = []
    open_bans: list[Ban] = []
    for ban in sorted(bans, key=lambda b: (b.network, b.length, -b.end)):
        while open_bans and not covers((open_bans[-1].network, open_bans[-1].length), (ban.network, ban.length)):
            open_bans.pop()
        if not any(wider.end >= ban.end for wider in open_bans):
            kept.append(ban)
            open_bans.append(ban)
    return kept
