# SPDX-License-Identifier: GPL-3.0-or-later
"""Random policies with the prefix lengths of a routing table: mostly IPv4 /24, and IPv6 /48 in 2000::/3."""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass

from sentry_engine.cores.plan import Entries, Entry, Limit, Plan, PrefixTable, Tier
from sentry_engine.verdict import Action, Event, Reason

V4_MAPPED = 0xFFFF << 32
V6_GLOBAL = 0x2 << 124
LENGTHS = {4: [24] * 12 + [22, 22, 23, 23, 21, 20, 19, 16, 28, 32], 6: [48] * 10 + [32, 32, 36, 40, 44, 44, 56, 64]}
ANYWHERE = PrefixTable(bytes(16) + V4_MAPPED.to_bytes(16), bytes([0, 96]), array("I", [0, 0]))


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Random prefixes of one family."""

    family: int  # 4 or 6
    rows: list[tuple[int, int]]  # 128-bit network, length with IPv4 lengths plus 96

    def packed(self) -> list[tuple[bytes, int]]:
        """Returns prefixes in the family's own width and length, for other tables."""
        if self.family == 4:
            return [(network.to_bytes(16)[12:], length - 96) for network, length in self.rows]
        return [(network.to_bytes(16), length) for network, length in self.rows]


def draw_prefixes(family: int, count: int, seed: int = 1) -> Prefixes:
    chance = random.Random(seed)
    drawn: set[tuple[int, int]] = set()
    while len(drawn) < count:
        length = chance.choice(LENGTHS[family])
        if family == 4:
            drawn.add((V4_MAPPED | chance.getrandbits(length) << (32 - length), length + 96))
        else:
            drawn.add((V6_GLOBAL | chance.getrandbits(length - 3) << (128 - length), length))
    return Prefixes(family, list(drawn))


def draw_addresses(prefixes: Prefixes, count: int, seed: int = 2) -> list[bytes]:
    """Returns packed addresses: half inside a prefix, half anywhere in the family."""
    chance = random.Random(seed)
    found = []
    for turn in range(count):
        if turn % 2:
            network, length = chance.choice(prefixes.rows)
            found.append((network | chance.getrandbits(128 - length) if length < 128 else network).to_bytes(16))
        elif prefixes.family == 4:
            found.append((V4_MAPPED | chance.getrandbits(32)).to_bytes(16))
        else:
            found.append((V6_GLOBAL | chance.getrandbits(125)).to_bytes(16))
    return found


def build_table(*parts: Prefixes, first: int = 0, values: int = 0) -> PrefixTable:
    """Each row gets its own value, from ``first`` on; with ``values``, one of that many."""
    rows = [row for part in parts for row in part.rows]
    numbers = range(first, first + len(rows)) if not values else (first + at % values for at in range(len(rows)))
    return PrefixTable(
        b"".join(n.to_bytes(16) for n, _ in rows), bytes(length for _, length in rows), array("I", numbers)
    )


def build_plan(*parts: Prefixes) -> Plan:
    """One rule per prefix, and a limit on all that no rule decides."""
    count = sum(len(part.rows) for part in parts)
    entries = Entries()
    entries.add_rules(Action.REJECT, Reason.RULE, 0, count)
    tables = {Tier.RULES: build_table(*parts), Tier.LIMITS: ANYWHERE}
    names = (*map("rule-{}".format, range(count)), "limit")
    limit = Limit(Event.CONNECT, count, 65_535, 60.0, 0.0)
    return Plan(1, tuple(tables.get(tier, PrefixTable()) for tier in Tier), entries, names, (limit,), ((0,),))


def build_flattened(*parts: Prefixes) -> Plan:
    """The same prefixes in every tier: rules, feeds, countries, networks, anonymisers."""
    shares = {Tier.RULES: 1, Tier.FEEDS: 8, Tier.COUNTRY: 250, Tier.ASN: 50_000, Tier.ANONYMIZER: 4}
    entries: list[Entry] = []
    tables = {Tier.LIMITS: ANYWHERE}
    for tier, values in shares.items():
        tables[tier] = build_table(*parts, first=len(entries), values=values)
        entries += [Entry(None, Reason.COUNTRY, at % 16) for at in range(values)]
    limit = Limit(Event.CONNECT, 0, 65_535, 60.0, 0.0)
    names = tuple(f"rule-{at}" for at in range(16))
    return Plan(1, tuple(tables.get(tier, PrefixTable()) for tier in Tier), tuple(entries), names, (limit,), ((0,),))
