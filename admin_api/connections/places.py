# SPDX-License-Identifier: GPL-3.0-or-later
"""The places of a listener: a bounded number of connections, with a share for each source.

A connection that waits for its peer gives its place up when the places are taken; one whose request is being answered
never does. So silent connections keep no other client out, however many there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable


class Occupant(Protocol):
    """A connection."""

    def waits_for_peer(self) -> bool:
        """True if no request of it is being answered."""

    def leave(self) -> None:
        """Close the connection at once."""


class Places:
    """At most ``limit`` places, at most ``share`` of them for one source."""

    def __init__(self, limit: int, share: int) -> None:
        self._limit = limit
        self._share = share
        self._sources: dict[Occupant, Hashable] = {}  # the oldest first
        self._counts: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._sources)

    def take(self, source: Hashable, occupant: Occupant) -> bool:
        """Give ``occupant`` a place, if needed that of a waiting connection. Returns false if none gives way.

        A source beyond its share displaces its own oldest waiting connection. If all places are taken, the oldest
        waiting connection of the source with the most places leaves.
        """
        victim = None
        if self._counts.get(source, 0) >= self._share:
            victim = self._oldest_waiting({source})
        elif len(self._sources) >= self._limit:
            victim = self._oldest_waiting(self._counts)
        else:
            self._add(source, occupant)
            return True
        if victim is None:
            return False
        self.release(victim)
        victim.leave()
        self._add(source, occupant)
        return True

    def release(self, occupant: Occupant) -> None:
        """Free the place of ``occupant``, if it has one."""
        source = self._sources.pop(occupant, None)
        if source is None:
            return
        self._counts[source] -= 1
        if not self._counts[source]:
            del self._counts[source]

    def occupants(self) -> tuple[Occupant, ...]:
        return tuple(self._sources)

    def _add(self, source: Hashable, occupant: Occupant) -> None:
        self._sources[occupant] = source
        self._counts[source] = self._counts.get(source, 0) + 1

    def _oldest_waiting(self, sources: Iterable[Hashable]) -> Occupant | None:
        """Returns the oldest waiting connection of the first of ``sources``, by places taken, that has one."""
        oldest: dict[Hashable, Occupant] = {}
        wanted = set(sources)
        for occupant, source in self._sources.items():
            if source in wanted and source not in oldest and occupant.waits_for_peer():
                oldest[source] = occupant
        return max(oldest.items(), key=lambda found: self._counts[found[0]])[1] if oldest else None
