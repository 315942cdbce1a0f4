# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sources guessed passwords lately, and which logged in: whose check comes first when there are many. Pure.

A failure counts for ten minutes after the source's last one, and a success takes none back: with an account of one's
own, guesses at others come no earlier. A source of IPv6 is a /48. The table is bounded; the source that was seen least
recently is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from vpn_frontend.settings import Address

MAX_SOURCES = 16_384  # some 4 MB
FORGET_AFTER = 600.0  # seconds after the last failure
IPV6_SOURCE = 6  # bytes


@dataclass(slots=True)
class _Standing:
    failures: int = 0
    failed_at: float = 0.0
    known: bool = False  # a login was accepted from here


class SourceStanding:
    """``now`` is monotonic seconds."""

    def __init__(self) -> None:
        self._sources: OrderedDict[bytes, _Standing] = OrderedDict()

    def rank(self, source: Address, now: float) -> tuple[int, bool]:
        """The lower, the earlier: (failures, whether no user has logged in from there)."""
        standing = self._sources.get(source_key(source))
        if standing is None:
            return 0, True
        failures = standing.failures if now - standing.failed_at < FORGET_AFTER else 0
        return failures, not standing.known

    def note(self, source: Address, *, right: bool, now: float) -> None:
        key = source_key(source)
        standing = self._sources.setdefault(key, _Standing())
        self._sources.move_to_end(key)
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        if right:
            standing.known = True
            return
        standing.failures = self.rank(source, now)[0] + 1
        standing.failed_at = now


def source_key(source: Address) -> bytes:
    return source.packed if source.version == 4 else source.packed[:IPV6_SOURCE]
