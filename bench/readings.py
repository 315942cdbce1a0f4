# SPDX-License-Identifier: GPL-3.0-or-later
"""What a measure is asked for and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.peers import Peer


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how large; the quick one is for trying the benchmark out."""

    seconds: float = 2.0
    sessions: int = 1000
    pings: int = 600
    prefixes: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    name: str
    unit: str
    value: float
    more_is_better: bool = False


Measure = Callable[["Peer", Effort], Iterator[Reading]]
