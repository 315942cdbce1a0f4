# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks: rejecting rules set through the API, appended to the compiled policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sentry_engine.addresses import Address, Network, contains, pack_address, pack_network, split_network
from sentry_engine.cores.interface import Core, Request
from sentry_engine.prefixes import Origin, Prefixes
from sentry_engine.rules.model import PrefixRule
from sentry_engine.verdict import Action, Event

MAX_BLOCKS = 100_000  # in force at a time; longer lists belong in feeds
BLOCK_ORIGIN = Origin("api", "")

Blocks = Mapping[
    str, PrefixRule
]  # by id; ``expires_at`` is in the engine's clock, which no jump of the wall clock moves


def make_block(rule_id: str, prefixes: Prefixes, text: str, expires_at: float | None) -> PrefixRule:
    """``expires_at`` is Unix time; ``None``: never."""
    return PrefixRule(rule_id, Action.REJECT, prefixes, BLOCK_ORIGIN, text, expires_at)


def add_blocks(blocks: Blocks, rules: Iterable[PrefixRule], clock_offset: float) -> Blocks:
    """``blocks`` with ``rules`` added; equal ids are replaced. Raises ``ValueError`` beyond ``MAX_BLOCKS``.

    The ends of ``rules`` are Unix time. ``clock_offset`` is Unix time minus the engine's clock at this moment.
    """
    joined = {**blocks, **{rule.id: _shift_end(rule, -clock_offset) for rule in rules}}
    if len(joined) > MAX_BLOCKS:
        raise ValueError(f"at most {MAX_BLOCKS} blocks may be in force: use a feed for longer lists")
    return joined


def drop_expired(blocks: Blocks, now: float) -> Blocks:
    return {key: rule for key, rule in blocks.items() if rule.expires_at is None or now < rule.expires_at}


def list_blocks(blocks: Blocks, clock_offset: float) -> tuple[PrefixRule, ...]:
    """The blocks with their ends in Unix time, by the wall clock of this moment."""
    return tuple(_shift_end(rule, clock_offset) for rule in blocks.values())


def _shift_end(rule: PrefixRule, seconds: float) -> PrefixRule:
    return rule if rule.expires_at is None else replace(rule, expires_at=rule.expires_at + seconds)


def would_block(core: Core, network: Network, address: Address, now: float) -> bool:
    """True if a block of ``network`` would refuse ``address``. Counts nothing.

    ``never_block`` and more specific accepting rules win over a block.
    """
    blocked, length = pack_network(network)
    packed = pack_address(address)
    if not contains(blocked, length, packed):
        return False
    _, steps = core.trace(Request(packed, Event.CONNECT, now))
    by_tier = {step.tier: step for step in steps}
    if by_tier["never_block"].matched is not None:
        return False
    rule = by_tier["rules"]
    if rule.matched is None or rule.action is Action.REJECT:
        return True
    return split_network(rule.matched)[1] < length
