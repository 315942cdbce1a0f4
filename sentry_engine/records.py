# SPDX-License-Identifier: GPL-3.0-or-later
"""``dataclass`` as the standard one, for classes with slots. It makes a class in a quarter of the time.

The standard decorator compiles up to seven methods of each class, which was a sixth of a server's start. Here
``__init__`` alone is compiled; the classes share the functions that compare, hash and show their instances. Type
checkers see the standard decorator, and they alone hold ``frozen``: a frozen instance has a hash, and no check at run
time, which would also make each instance cost twice as much.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass

    Record = TypeVar("Record")
    Read = Callable[[Any], object]
else:

    def dataclass(*, slots: bool, frozen: bool = False, eq: bool = True) -> Callable[[type[Record]], type[Record]]:
        """As ``dataclasses.dataclass``. Every class has slots; ``frozen`` is said to type checkers."""

        def make(plain: type[Record]) -> type[Record]:
            own = vars(plain)
            plain.__doc__ = plain.__doc__ or plain.__qualname__  # else the standard decorator writes a signature
            made = dataclasses.dataclass(repr=False, eq=False, slots=slots)(plain)
            if "__repr__" not in own:
                made.__repr__ = _show
            if eq:
                read = _reader([one.name for one in dataclasses.fields(made) if one.compare])
                if "__eq__" not in own:
                    made.__eq__ = _comparison(read)
                if own.get("__hash__") is None:
                    made.__hash__ = _hash(read) if frozen else None
            return made

        return make


def _reader(names: list[str]) -> Read:
    return attrgetter(*names) if names else _nothing


def _nothing(_: object) -> None:
    """What instances without compared fields have in common."""


def _comparison(read: Read) -> Callable[[object, object], bool]:
    def is_equal(self: object, other: object) -> bool:
        return read(self) == read(other) if other.__class__ is self.__class__ else NotImplemented

    return is_equal


def _hash(read: Read) -> Callable[[object], int]:
    def hash_of(self: object) -> int:
        return hash(read(self))

    return hash_of


@recursive_repr()
def _show(self: Any) -> str:  # noqa: ANN401 - an instance of any class
    shown = (f"{one.name}={getattr(self, one.name)!r}" for one in dataclasses.fields(self) if one.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"
