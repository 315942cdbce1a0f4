# SPDX-License-Identifier: GPL-3.0-or-later
"""Many names in one string: a million small strings would keep the memory around them from being freed."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import overload


class PackedNames(Sequence[str]):
    """An immutable sequence of names. Reading one makes a new string."""

    __slots__ = ("_ends", "_text")

    def __init__(self, names: Sequence[str]) -> None:
        self._text = "".join(names)
        self._ends = array("Q", accumulate(map(len, names)))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = index if index >= 0 else range(len(self))[index]
        return self._text[self._ends[at - 1] if at else 0 : self._ends[at]]  # raises IndexError

    def __iter__(self) -> Iterator[str]:
        start = 0
        for end in self._ends:
            yield self._text[start:end]
            start = end
