# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the kernel's sets in line with the engine, through the helper.

The sets never hold more than the engine refuses. They may hold less for a moment: a refusal reaches them within about a
second, in batches. What the engine no longer refuses leaves them before the change of policy returns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

from admin_api.enforcement.kernel_filter import KernelFigures
from ocsentry.privileges.packet_filter.elements import MARGIN, Elements, Key, choose, network_of, seconds_left
from ocsentry.privileges.packet_filter.verbs import MAX_CHANGES
from sentry_engine.addresses import V4_OFFSET, covers, is_ipv4, mask, pack_address, pack_network
from sentry_engine.exchange.standing_refusals import StandingRefusals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentry_engine import Engine
    from vpn_frontend.settings import Address, Network


T = TypeVar("T")


class FilterVerbs(Protocol):
    """The helper's verbs for the filter. Each raises ``OSError``."""

    def open_filter(self) -> None: ...
    def change_filter(self, remove: Sequence[str], add: Sequence[tuple[str, int]]) -> None: ...
    def read_filter(self) -> dict[str, int]: ...


class KernelFilter:
    """Thread-safe. Requires that the helper has opened the filter. Methods wait for the helper's answer."""

    def __init__(self, engine: Engine, helper: FilterVerbs, *, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` is the engine's."""
        self._refusals = StandingRefusals(engine)
        self._helper = helper
        self._clock = clock
        self._following = threading.Lock()  # one thread computes at a time
        self._changing = threading.Lock()  # the state below, and the order of the helper's answers
        self._known: dict[Key, float] = {}  # what the kernel has
        self._is_open = True
        self._changes = 0  # of the engine, which make what was computed before worthless
        self._left_out = 0
        self._dropped = {"ipv4": 0, "ipv6": 0}
        self._dropped_before = {"ipv4": 0, "ipv6": 0}  # by tables that are gone

    def follow(self) -> None:
        """Bring the sets in line with the engine. Raises ``OSError``: the sets are empty, or the helper is gone."""
        with self._following:
            changes = self._changes
            now = self._clock()
            wanted = choose(self._refusals.read(now), now)
            self._left_out = wanted.left_out
            for batch in self._batches(wanted):
                with self._changing:
                    if self._changes != changes:
                        return
                    self._change(*batch)

    def lift(self, network: Network | None = None) -> None:
        """Remove what the engine has ceased to refuse, inside and around ``network`` or all. Raises ``OSError``."""
        with self._changing:
            self._changes += 1  # what another thread is adding was computed before
            if network is not None:
                lifted = pack_network(network)
                gone = [key for key in self._known if covers(key, lifted) or covers(lifted, key)]
                for batch in _split(gone):
                    self._change(batch, [])
        if network is None:
            self.follow()

    def drops(self, address: Address) -> bool:
        """True if the kernel drops new connections from ``address``."""
        packed, now, known = pack_address(address), self._clock(), self._known
        lengths = range(V4_OFFSET, 129) if is_ipv4(packed) else range(129)
        return any(now < known.get((mask(packed, length), length), 0.0) for length in lengths)

    def read_figures(self) -> KernelFigures:
        """Returns the counters, read from the kernel. Raises ``OSError``."""
        with self._changing:
            self._dropped = self._helper.read_filter()
        return self.figures()

    def figures(self) -> KernelFigures:
        """The counters of the last ``read_figures``."""
        dropped = {family: self._dropped_before[family] + count for family, count in self._dropped.items()}
        return KernelFigures(dropped, len(self._known), self._left_out)

    def open_again(self) -> None:
        """Replace the table, which another program or a fault has changed, by an empty one. Raises ``OSError``."""
        with self._changing:
            self._reopen()

    def _reopen(self) -> None:
        self._known, self._is_open = {}, False
        self._helper.open_filter()
        self._dropped_before = dict(self.figures().dropped)
        self._dropped = dict.fromkeys(self._dropped, 0)
        self._is_open = True

    def _batches(self, wanted: Elements) -> Iterator[tuple[list[Key], list[tuple[Key, float]]]]:
        """Removals first: they make room, and what overlaps in an interval set would be refused."""
        with self._changing:
            if not self._is_open:
                self._reopen()
            now = self._clock()
            self._known = {key: until for key, until in self._known.items() if until > now}
            known = self._known
            gone = [key for key, until in known.items() if wanted.ends.get(key) != until]
            new = [(key, until) for key, until in wanted.ends.items() if known.get(key) != until]
        for batch in _split(gone):
            yield batch, []
        for additions in _split(new):
            yield [], additions

    def _change(self, remove: list[Key], add: list[tuple[Key, float]]) -> None:
        """Requires the lock. After a failure the table is replaced: what it holds is not known any more."""
        began = self._clock()
        remove = [key for key in remove if key in self._known]
        timed = [(key, until, seconds_left(until, began)) for key, until in add]
        timed = [(key, until, left) for key, until, left in timed if left > 0 or until == float("inf")]
        try:
            self._helper.change_filter(
                [str(network_of(key)) for key in remove], [(str(network_of(key)), left) for key, _, left in timed]
            )
            if self._clock() - began > MARGIN:
                raise TimeoutError(0, f"a change of the packet filter took more than {MARGIN:g} s")
        except OSError:
            self._reopen()
            raise
        for key in remove:
            del self._known[key]
        self._known.update((key, until) for key, until, _ in timed)


def _split(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, MAX_CHANGES)):
        yield batch
