# SPDX-License-Identifier: GPL-3.0-or-later
"""What a native core knows of the networks that changed: the marks of its tables, taken and read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from sentry_engine.cores.interface import (
    Burst,
    ChangesUnknownError,
    KnownNetwork,
    Penalty,
    SourceState,
    Strikes,
)
from sentry_engine.cores.native.library import ffi, lib
from sentry_engine.cores.native.types import CorePointer, PenaltyRow

ROWS_AT_A_TIME = 1_024  # of changed networks
BURSTS = (
    1_024  # of one network that are read: a dozen for each event of a policy, and the core reads up to 96 at a time
)
SWEEP_CALLS = 64  # calls in which each row is looked at once for whether it ended


class ChangeMarks:
    """Takes the marks of a core, for one caller at a time."""

    def __init__(self) -> None:
        self._sweep = 0

    def take(self, core: CorePointer, now: float, most: int) -> list[tuple[bytes, int]]:
        """Take all marks. Returns the changed networks, packed, with their length. Raises ``ChangesUnknownError``.

        Of rows that ended, a part is looked at in each call. Nothing else is: the cost is that of what changed.
        """
        rows, at = ffi.new("struct se_changed_row[]", ROWS_AT_A_TIME), ffi.new("uint32_t *")
        found: dict[tuple[bytes, int], None] = {}

        def note(count: int) -> int:
            if count and len(found) <= most:
                found.update(dict.fromkeys((bytes(row.network), row.length) for row in rows[0:count]))
            return count

        is_known = not lib.se_core_take_overflow(core)
        while note(lib.se_core_take_lost(core, rows, ROWS_AT_A_TIME)):
            pass
        while at[0] < lib.SE_NO_MORE_SETS:
            note(lib.se_core_take_changed(core, at, rows, ROWS_AT_A_TIME))
        at[0], step = self._sweep, lib.SE_CORE_SETS // SWEEP_CALLS
        self._sweep = (self._sweep + step) % lib.SE_CORE_SETS
        end = at[0] + step
        while at[0] < lib.SE_NO_MORE_SETS:
            note(lib.se_core_take_ended(core, now, at, end, rows, ROWS_AT_A_TIME))
        if not is_known or len(found) > most:
            raise ChangesUnknownError("many" if is_known else "overflow")
        return list(found)


class KnownRows:
    """The networks of which something is known, in the memory of C: Python's objects of half a million take longer."""

    def __init__(self, core: CorePointer, now: float, most: int) -> None:
        self._rows = ffi.new("struct se_changed_row[]", most + lib.SE_MAX_PENALTIES)
        count, left_out = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        code = lib.se_core_list_known(core, now, most, self._rows, count, left_out)
        if code:
            raise OSError(-code, os.strerror(-code))
        self._count, self.left_out = count[0], left_out[0]

    def __iter__(self) -> Iterator[KnownNetwork]:
        for at in range(self._count):
            row = self._rows[at]
            yield KnownNetwork(bytes(row.network), row.length, bool(row.is_source), bool(row.in_penalty))


def read_states(
    open_core: Callable[[], CorePointer],
    networks: Iterable[tuple[bytes, int]],
    clock: Callable[[], float],
    read_penalty: Callable[[PenaltyRow], Penalty],
) -> Iterator[SourceState]:
    """What is known of each network by the ``clock``. ``open_core`` raises ``RuntimeError`` once the core is closed."""
    source = ffi.new("struct se_changed_row *")
    penalty, strikes = ffi.new("struct se_penalty_row[]", 1), ffi.new("struct se_strikes_row[]", 1)
    bursts = ffi.new("struct se_burst_row[]", BURSTS)
    for network, length in networks:
        source.network, source.length = network, length
        count = lib.se_core_read_source(open_core(), source, clock(), penalty, strikes, bursts, BURSTS)
        yield SourceState(
            network,
            length,
            read_penalty(penalty[0]) if penalty[0].until else None,
            Strikes(network, length, strikes[0].count, strikes[0].until) if strikes[0].count else None,
            tuple(Burst(network, length, row.event, row.first, row.last, row.count) for row in bursts[0:count]),
        )
