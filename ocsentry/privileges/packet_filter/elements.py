# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel's sets should hold: bounded, without overlaps in an interval set, kept up to date by what changes."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterable
from ipaddress import ip_network

from ocsentry.privileges.packet_filter.selection import Key, Selection
from ocsentry.privileges.packet_filter.table import SETS, Network, set_of
from sentry_engine.addresses import MASKS, V4_OFFSET, is_ipv4, render_network
from sentry_engine.exchange.standing_refusals import Changes, Refusal

MARGIN = 2.0  # seconds by which the kernel forgets before the engine does, and a change may take
SHORTEST = MARGIN + 1.0  # a refusal that ends sooner is the engine's alone


class Elements:
    """The elements for the refusals read so far. When a set is full, the engine alone refuses the rest.

    Of two networks that overlap in an interval set the wider one is an element. The other follows when that has ended.
    A change costs the same whatever a hash set holds; in an interval set it costs a sort of its ``MAX_NETWORKS``.
    """

    def __init__(self) -> None:
        self._refusals: dict[Key, tuple[Refusal, ...]] = {}
        self._ends: list[tuple[float, Key]] = []  # a heap; may hold ends that are no longer true
        self._selections = {kind.name: Selection(kind.capacity) for kind in SETS}
        self._disjoint: dict[str, dict[Key, None]] = {kind.name: {} for kind in SETS if kind.intervals}

    @property
    def left_out(self) -> int:
        """Networks for which a set has no room."""
        return sum(selection.left_out for selection in self._selections.values())

    def keys(self) -> set[Key]:
        """The keys of all elements."""
        return {key for name in self._selections for key in self._keys_of(name)}

    def _keys_of(self, name: str) -> Collection[Key]:
        return self._disjoint[name] if name in self._disjoint else self._selections[name]

    def end_of(self, key: Key) -> float | None:
        """The end of an element in the engine's clock. ``None``: there is none."""
        if key not in self._keys_of(_set_name(key)):
            return None
        return max(one.until for one in self._refusals[key])

    def update(self, changes: Changes, now: float) -> set[Key]:
        """Apply what was read, and drop what has ended. Returns the keys whose element may have changed."""
        touched: set[Key] = set()
        for gone in changes.gone:
            refusals = list(self._refusals.get(gone[:2], ()))
            if gone in refusals:  # one that was too short was never added
                refusals.remove(gone)  # and another may be equal
                touched |= self._replace(gone[:2], refusals)
        for new in changes.new:
            if new.until - now >= SHORTEST:
                touched |= self._replace(new[:2], [*self._refusals.get(new[:2], ()), new])
                if not math.isinf(new.until):
                    heapq.heappush(self._ends, (new.until, new[:2]))
        while self._ends and self._ends[0][0] <= now:
            _, key = heapq.heappop(self._ends)
            touched |= self._replace(key, [one for one in self._refusals.get(key, ()) if one.until > now])
        return touched | self._separate(touched)

    def _replace(self, key: Key, refusals: list[Refusal]) -> set[Key]:
        selection = self._selections[_set_name(key)]
        if not refusals:
            return set(selection.remove(key)) if self._refusals.pop(key, None) else set()
        self._refusals[key] = tuple(refusals)
        return {key, *selection.put(key, min(one.rank for one in refusals))}

    def _separate(self, touched: set[Key]) -> set[Key]:
        """Choose the elements of the interval sets again. Returns the keys that differ."""
        differing: set[Key] = set()
        for name in {_set_name(key) for key in touched} & self._disjoint.keys():
            chosen = _without_overlaps(self._selections[name])
            differing |= chosen.keys() ^ self._disjoint[name].keys()
            self._disjoint[name] = chosen
        return differing


def network_of(key: Key) -> Network:
    return ip_network(render_network(*key))


def seconds_left(until: float, now: float) -> int:
    """The timeout of an element that is made at ``now`` or up to ``MARGIN`` later. 0: none. Below 1: too late."""
    return 0 if math.isinf(until) else math.floor(until - now - MARGIN)


def _set_name(key: Key) -> str:
    network, length = key
    if length >= V4_OFFSET and is_ipv4(network):
        return set_of(4, length - V4_OFFSET).name
    return set_of(6, length).name


def _without_overlaps(keys: Iterable[Key]) -> dict[Key, None]:
    kept: dict[Key, None] = {}
    last: Key | None = None
    for key in sorted(keys):
        if last is None or not (last[1] <= key[1] and _holds(last, key)):
            kept[key] = None
            last = key
    return kept


def _holds(wide: Key, narrow: Key) -> bool:
    """``wide`` is the shorter prefix, and both are of one family."""
    return (int.from_bytes(wide[0]) ^ int.from_bytes(narrow[0])) & MASKS[wide[1]] == 0
