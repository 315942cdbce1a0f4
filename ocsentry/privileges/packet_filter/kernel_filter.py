# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the kernel's sets in line with the engine, through the helper.

The sets never hold more than the engine refuses, except what it has just ceased to refuse: ``remove_lifted`` takes that
out, before anything is added. They may hold less: a refusal reaches them within about a second, in batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from admin_api.enforcement.kernel_filter import KernelFigures
from ocsentry.privileges.packet_filter.elements import MARGIN, Elements, network_of, seconds_left
from ocsentry.privileges.packet_filter.selection import Key
from ocsentry.privileges.packet_filter.verbs import MAX_CHANGES
from sentry_engine.addresses import V4_OFFSET, is_ipv4, mask, pack_address
from sentry_engine.exchange.standing_refusals import StandingRefusals

if TYPE_CHECKING:
    from sentry_engine import Engine
    from vpn_frontend.settings import Address


class FilterVerbs(Protocol):
    """The helper's verbs for the filter. Each raises ``OSError``."""

    def open_filter(self) -> None: ...
    def change_filter(self, remove: Sequence[str], add: Sequence[tuple[str, int]]) -> None: ...
    def read_filter(self) -> dict[str, int]: ...


class KernelFilter:
    """Requires that the helper has opened the filter. What asks the helper raises ``OSError``, and empties the sets.

    For one thread at a time, except ``drops`` and ``figures``, which any thread may call and which never wait.
    """

    def __init__(self, engine: Engine, helper: FilterVerbs, *, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` is the engine's."""
        self._refusals = StandingRefusals(engine)
        self._helper = helper
        self._clock = clock
        self._wanted = Elements()
        self._known: dict[Key, float] = {}  # what the kernel has, or had until the end
        self._outdated: dict[Key, None] = {}  # to be removed from the kernel
        self._missing: dict[Key, None] = {}  # to be added
        self._is_open = True
        self._dropped = {"ipv4": 0, "ipv6": 0}
        self._dropped_before = {"ipv4": 0, "ipv6": 0}  # by tables that are gone

    def remove_lifted(self) -> None:
        """Remove from the kernel what the engine has ceased to refuse before the call."""
        self._read_changes()
        while batch := list(islice(self._outdated, MAX_CHANGES)):
            self._change(batch, [])

    def add_some(self) -> bool:
        """Add one batch of what the engine refuses. Returns whether more is missing. Follows ``remove_lifted``."""
        if not self._is_open:
            self._open()
        if batch := list(islice(self._missing, MAX_CHANGES)):
            self._change([], batch)
        return bool(self._missing)

    def drops(self, address: Address) -> bool:
        """True if the kernel drops new connections from ``address``."""
        packed, now, known = pack_address(address), self._clock(), self._known
        lengths = range(V4_OFFSET, 129) if is_ipv4(packed) else range(129)
        return any(now < known.get((mask(packed, length), length), 0.0) for length in lengths)

    def read_figures(self) -> KernelFigures:
        """Returns the counters, read from the kernel. Fails if the table is gone."""
        self._dropped = self._helper.read_filter()
        return self.figures()

    def figures(self) -> KernelFigures:
        """The counters of the last ``read_figures``."""
        dropped = {family: self._dropped_before[family] + count for family, count in self._dropped.items()}
        return KernelFigures(dropped, len(self._known), self._wanted.left_out)

    def open_again(self) -> None:
        """Replace the table, which another program or a fault has changed, by an empty one. ``add_some`` fills it."""
        self._open()

    def _open(self) -> None:
        self._known, self._is_open = {}, False
        self._outdated, self._missing = {}, dict.fromkeys(self._wanted.keys())
        self._helper.open_filter()
        self._dropped_before = dict(self.figures().dropped)
        self._dropped = dict.fromkeys(self._dropped, 0)
        self._is_open = True

    def _read_changes(self) -> None:
        now = self._clock()
        changes = self._refusals.read_changes(now)
        before: set[Key] = set()
        if changes.is_whole:
            before, self._wanted = self._wanted.keys(), Elements()
        for key in before | self._wanted.update(changes, now):
            self._compare(key, now)

    def _compare(self, key: Key, now: float) -> None:
        wanted, known = self._wanted.end_of(key), self._known.get(key)
        if known is not None and known <= now:
            del self._known[key]  # the kernel has removed it
            known = None
        _set_or_clear(self._outdated, key, is_set=known is not None and known != wanted)
        _set_or_clear(self._missing, key, is_set=wanted is not None and known != wanted)

    def _change(self, remove: list[Key], add: list[Key]) -> None:
        """After a failure the table is replaced: what it holds is not known any more."""
        began = self._clock()
        ends = [(key, end, seconds_left(end, began)) for key in add if (end := self._wanted.end_of(key)) is not None]
        timed = [(key, end, left) for key, end, left in ends if left > 0 or end == float("inf")]
        try:
            if remove or timed:
                self._helper.change_filter(_as_text(remove), [(str(network_of(key)), left) for key, _, left in timed])
            if self._clock() - began > MARGIN:
                raise TimeoutError(0, f"a change of the packet filter took more than {MARGIN:g} s")
        except OSError:
            self._open()
            raise
        for key in remove:
            del self._outdated[key]
            del self._known[key]
        for key in add:
            del self._missing[key]
        self._known.update((key, end) for key, end, _ in timed)


def _as_text(keys: Iterable[Key]) -> list[str]:
    return [str(network_of(key)) for key in keys]


def _set_or_clear(keys: dict[Key, None], key: Key, *, is_set: bool) -> None:
    if is_set:
        keys[key] = None
    else:
        keys.pop(key, None)
