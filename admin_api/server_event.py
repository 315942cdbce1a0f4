# SPDX-License-Identifier: GPL-3.0-or-later
"""One event of the server, as the hub keeps thousands of them.

Events of a kind have the same few names, so each keeps its values alone, in a tuple, and shares the names with the
others. That takes less than half of the memory of a dict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MAX_SHAPES = 4096  # combinations of names that are shared; the code has some hundred

_shapes: dict[tuple[str, ...], tuple[str, ...]] = {}


class ServerEvent:
    """Fields are plain values. A ``gap`` event has no number; its field ``missed`` is ``None`` if unknown."""

    __slots__ = ("_names", "_values", "at", "kind", "number")

    def __init__(self, kind: str, at: datetime, fields: Mapping[str, object], number: int | None = None) -> None:
        self.kind = kind
        self.at = at
        self.number = number
        self._values = tuple(fields.values())
        names = tuple(fields)
        self._names = _shapes.get(names) or _share(names)

    @property
    def fields(self) -> dict[str, object]:
        return dict(zip(self._names, self._values, strict=True))

    def get(self, name: str) -> object:
        """Returns the value of one field; ``None``: there is none."""
        return self._values[self._names.index(name)] if name in self._names else None


def _share(names: tuple[str, ...]) -> tuple[str, ...]:
    return _shapes.setdefault(names, names) if len(_shapes) < MAX_SHAPES else names
