# SPDX-License-Identifier: GPL-3.0-or-later
"""A workload, its scale, and the samples that it yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.peers import Peer


@dataclass(frozen=True, slots=True)
class Scale:
    """How long and how large a workload is."""

    seconds: float = 2.0
    sessions: int = 1000
    crowd: int = 10_000
    pings: int = 2000
    prefixes: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured value of a named figure."""

    name: str
    unit: str
    value: float
    more_is_better: bool = False


Workload = Callable[["Peer", Scale], Iterator[Sample]]
