# SPDX-License-Identifier: GPL-3.0-or-later
"""What a native core knows of the networks that changed: the marks of its tables, taken and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sentry_engine.cores.interface import Burst, Penalty, SourceState, Strikes
from sentry_engine.cores.native.library import ffi, lib
from sentry_engine.cores.native.types import CorePointer, PenaltyRow

ROWS_AT_A_TIME = 4_096  # of changed networks, and of the bursts of one


def take_changed(core: CorePointer, most: int) -> list[tuple[bytes, int]] | None:
    """Take all marks. Returns the changed networks, packed, with their length. ``None``: more than ``most``, or lost.

    Rows that were evicted or cleared are lost: which networks they were of is not known.
    """
    rows, at = ffi.new("struct se_changed_row[]", ROWS_AT_A_TIME), ffi.new("uint32_t *")
    found: dict[tuple[bytes, int], None] = {}
    is_lost = bool(lib.se_core_take_lost(core))
    while at[0] < lib.SE_NO_MORE_SETS:
        count = lib.se_core_take_changed(core, at, rows, ROWS_AT_A_TIME)
        if len(found) <= most:
            found.update(dict.fromkeys((bytes(row.network), row.length) for row in rows[0:count]))
    return None if is_lost or len(found) > most else list(found)


def read_states(
    core: CorePointer, networks: list[tuple[bytes, int]], now: float, read_penalty: Callable[[PenaltyRow], Penalty]
) -> Iterator[SourceState]:
    """What is known of each network at ``now``."""
    source = ffi.new("struct se_changed_row *")
    penalty, strikes = ffi.new("struct se_penalty_row[]", 1), ffi.new("struct se_strikes_row[]", 1)
    bursts = ffi.new("struct se_burst_row[]", ROWS_AT_A_TIME)
    for network, length in networks:
        source.network, source.length = network, length
        count = lib.se_core_read_source(core, source, now, penalty, strikes, bursts, ROWS_AT_A_TIME)
        yield SourceState(
            network,
            length,
            read_penalty(penalty[0]) if penalty[0].until else None,
            Strikes(network, length, strikes[0].count, strikes[0].until) if strikes[0].count else None,
            tuple(Burst(network, length, row.event, row.first, row.last, row.count) for row in bursts[0:count]),
        )
