# SPDX-License-Identifier: GPL-3.0-or-later
"""What a native core knows of the networks that changed: the marks of its tables, taken and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sentry_engine.cores.interface import Burst, Penalty, SourceState, Strikes
from sentry_engine.cores.native.library import ffi, lib
from sentry_engine.cores.native.types import CorePointer, PenaltyRow

ROWS_AT_A_TIME = 1_024  # of changed networks
BURSTS = 352  # of one network that are read: a state has 256 of one source, and the core reads up to 96 at a time
SWEEP_CALLS = 64  # calls in which each row is looked at once for whether it ended


class ChangeMarks:
    """Takes the marks of a core, for one caller at a time."""

    def __init__(self) -> None:
        self._sweep = 0

    def take(self, core: CorePointer, now: float, most: int) -> list[tuple[bytes, int]] | None:
        """Take all marks. Returns the changed networks, packed, with their length. ``None``: more than ``most``.

        So it is, too, if more rows were evicted or cleared than the core notes. Of rows that ended, a part is looked at
        in each call. Nothing else is: the cost is that of what changed.
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
        return list(found) if is_known and len(found) <= most else None


def read_states(
    core: CorePointer, networks: list[tuple[bytes, int]], now: float, read_penalty: Callable[[PenaltyRow], Penalty]
) -> Iterator[SourceState]:
    """What is known of each network at ``now``."""
    source = ffi.new("struct se_changed_row *")
    penalty, strikes = ffi.new("struct se_penalty_row[]", 1), ffi.new("struct se_strikes_row[]", 1)
    bursts = ffi.new("struct se_burst_row[]", BURSTS)
    for network, length in networks:
        source.network, source.length = network, length
        count = lib.se_core_read_source(core, source, now, penalty, strikes, bursts, BURSTS)
        yield SourceState(
            network,
            length,
            read_penalty(penalty[0]) if penalty[0].until else None,
            Strikes(network, length, strikes[0].count, strikes[0].until) if strikes[0].count else None,
            tuple(Burst(network, length, row.event, row.first, row.last, row.count) for row in bursts[0:count]),
        )
