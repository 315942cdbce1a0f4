# SPDX-License-Identifier: GPL-3.0-or-later
"""The penalty box of the reference core: networks refused until a time. The most specific penalty answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from sentry_engine.addresses import V4_OFFSET, contains, covers, is_ipv4, mask
from sentry_engine.cores.interface import Penalty, Strikes
from sentry_engine.cores.nanoseconds import bound, reached

MAX_PENALTIES = 65_536  # entries; when full, the one that ends first is evicted
ESCALATION_STEPS = (56, 48, 44, 40, 36, 32)  # IPv6 prefix lengths a penalty widens to, in order
CUSTOMER_PREFIX = 48  # the widest prefix that one customer is given (RFC 6177)
GROUP_SIZE = 16  # prefixes of one step inside the next wider one, beyond CUSTOMER_PREFIX: /48s of a /44


class PenaltyBox:
    """Not thread-safe: the core's lock is held."""

    def __init__(self, max_penalties: int = MAX_PENALTIES) -> None:
        self._max_penalties = max_penalties
        self._penalties: dict[tuple[bytes, int], Penalty] = {}
        self._lengths: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._penalties)

    def put(self, penalty: Penalty) -> None:
        """Add a penalty, or replace the one on the same network."""
        key = (penalty.network, penalty.length)
        if key not in self._penalties:
            while len(self._penalties) >= self._max_penalties:
                self._remove(min(self._penalties, key=lambda k: self._penalties[k].until))
            self._lengths[penalty.length] += 1
        self._penalties[key] = replace(penalty, until=bound(penalty.until))

    def find(self, address: bytes, now: float) -> Penalty | None:
        """The most specific penalty in force on a packed address."""
        for length in sorted(self._lengths, reverse=True):
            penalty = self._penalties.get((mask(address, length), length))
            if penalty and not reached(now, penalty.until) and contains(penalty.network, length, address):
                return penalty
        return None

    def recount(self, strikes: Strikes) -> None:
        """Set the number of strikes of a penalty that was restored without them."""
        key = (strikes.network, strikes.length)
        if penalty := self._penalties.get(key):
            self._penalties[key] = replace(penalty, strikes=strikes.count)

    def escalate(self, cause: Penalty, now: float, after: int) -> None:
        """Widen a penalty to its /56, then /48, once ``after`` prefixes of the next narrower size are penalised there.

        Then to /44, /40, /36 and /32, once half of it is penalised at least, because the /48s of a /44 may belong to
        different customers. IPv6 only; ``after`` 0 disables it.
        """
        if after == 0 or (is_ipv4(cause.network) and cause.length >= V4_OFFSET):
            return
        narrow = cause.length
        for wide in ESCALATION_STEPS:
            if wide >= narrow:
                continue
            network = mask(cause.network, wide)
            inside = sum(
                1
                for (packed, length), penalty in self._penalties.items()
                if length == narrow and not reached(now, penalty.until) and mask(packed, wide) == network
            )
            if inside < escalation_count(wide, after):
                return
            known = self._penalties.get((network, wide))
            if known is None or known.until < cause.until:
                self.put(Penalty(network, wide, cause.until, inside, cause.reason, cause.rule_id))
            narrow = wide

    def clear(self, network: bytes, length: int, now: float) -> int:
        """Remove the penalties inside a packed prefix. Returns how many of them were in force."""
        inside = [key for key in self._penalties if covers((network, length), key)]
        in_force = sum(not reached(now, self._penalties[key].until) for key in inside)
        for key in inside:
            self._remove(key)
        return in_force

    def in_force(self, now: float) -> list[Penalty]:
        """The penalties in force. Expired ones are removed."""
        for key in [key for key, penalty in self._penalties.items() if reached(now, penalty.until)]:
            self._remove(key)
        return list(self._penalties.values())

    def _remove(self, key: tuple[bytes, int]) -> None:
        del self._penalties[key]
        self._lengths[key[1]] -= 1
        if not self._lengths[key[1]]:
            del self._lengths[key[1]]


def escalation_count(wide: int, after: int) -> int:
    """How many penalised prefixes widen a penalty to a prefix of length ``wide``."""
    return after if wide >= CUSTOMER_PREFIX else min(max(after, GROUP_SIZE // 2), GROUP_SIZE)
