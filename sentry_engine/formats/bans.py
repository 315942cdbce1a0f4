# SPDX-License-Identifier: GPL-3.0-or-later
"""Bans: what other tools give and take. A network that is refused until a time, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentry_engine.addresses import Network, covers, pack_network, render_address, render_network
from sentry_engine.rules import Origin, Prefixes, PrefixRule
from sentry_engine.verdict import Action

if TYPE_CHECKING:
    from sentry_engine.engine import Engine

MAX_BANS = 1_000_000  # in one file that is read


@dataclass(frozen=True, slots=True)
class Ban:
    """``until`` is Unix time, ``None`` for ever."""

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
        """``192.0.2.1`` for one address, ``192.0.2.0/24`` for more."""
        return render_address(self.network) if self.length == 128 else render_network(self.network, self.length)

    @property
    def end(self) -> float:
        return float("inf") if self.until is None else self.until


def bans_in_force(engine: Engine, wall_now: float) -> Iterator[Ban]:
    """What ``engine`` refuses now by address: penalties, blocks, and the rejecting rules of its policy.

    What exempts is not in it: a whitelist inside a ban is lost on whoever takes the list.
    """
    for kept in engine.export_penalties():
        yield Ban.of(kept.network, kept.until, kept.rule_id or kept.reason.value)
    for rule in (*engine.blocks(), *engine.policy.prefix_rules):
        if rule.action is Action.REJECT and (rule.expires_at is None or wall_now < rule.expires_at):
            for network, length in rule.prefixes:
                yield Ban(network, length, rule.expires_at, rule.description or rule.id)


def collapse(bans: Iterable[Ban]) -> list[Ban]:
    """Without those that lie in a wider one which lasts as long, sorted: what interval sets take."""
    kept: list[Ban] = []
    open_bans: list[Ban] = []
    for ban in sorted(bans, key=lambda b: (b.network, b.length, -b.end)):
        while open_bans and not covers((open_bans[-1].network, open_bans[-1].length), (ban.network, ban.length)):
            open_bans.pop()
        if not any(wider.end >= ban.end for wider in open_bans):
            kept.append(ban)
            open_bans.append(ban)
    return kept


def as_rules(bans: Iterable[Ban], *, prefix: str, origin: Origin) -> list[PrefixRule]:
    """Rejecting rules called ``prefix:1`` and so on, for ``Engine.block_many``."""
    return [
        PrefixRule(
            f"{prefix}:{number}",
            Action.REJECT,
            Prefixes(ban.network, bytes((ban.length,))),
            origin,
            ban.reason,
            ban.until,
        )
        for number, ban in enumerate(bans, 1)
    ]
