# SPDX-License-Identifier: GPL-3.0-or-later
"""Prefix rules by the million: those that say one action about one prefix and nothing else are kept as columns.

A rule as an object costs a kilobyte and several microseconds, and most policies that are large are large in such rules.
Who walks over ``PrefixRules`` sees objects all the same; each is made when it is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from sentry_engine.prefixes import Origin, Prefixes
from sentry_engine.rules.model import PrefixRule
from sentry_engine.verdict import Action


@dataclass(frozen=True, slots=True)
class ColumnarRules(Sequence[PrefixRule]):
    """Rules that stand one after the other in one list of one file."""

    action: Action
    ids: tuple[str, ...]
    descriptions: tuple[str, ...]
    prefixes: Prefixes  # a row for each id
    file: str
    pointer: str  # of the list
    first: int  # place of the first rule in it

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, at: int) -> PrefixRule: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[PrefixRule, ...]: ...
    def __getitem__(self, at: int | slice) -> PrefixRule | tuple[PrefixRule, ...]:
        if isinstance(at, slice):
            return tuple(self[one] for one in range(*at.indices(len(self))))
        place = range(len(self))[at]
        networks, lengths = self.prefixes.networks, self.prefixes.lengths
        prefix = Prefixes(networks[16 * place : 16 * place + 16], lengths[place : place + 1])
        origin = Origin(self.file, f"{self.pointer}/{self.first + place}")
        return PrefixRule(self.ids[place], self.action, prefix, origin, self.descriptions[place])


@dataclass(frozen=True, slots=True)
class PrefixRules(Sequence[PrefixRule]):
    """Prefix rules in their order, whichever way they are kept."""

    parts: tuple[PrefixRule | ColumnarRules, ...] = ()

    def __len__(self) -> int:
        return sum(len(part) if isinstance(part, ColumnarRules) else 1 for part in self.parts)

    def __iter__(self) -> Iterator[PrefixRule]:
        for part in self.parts:
            if isinstance(part, ColumnarRules):
                yield from part
            else:
                yield part

    @overload
    def __getitem__(self, at: int) -> PrefixRule: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[PrefixRule, ...]: ...
    def __getitem__(self, at: int | slice) -> PrefixRule | tuple[PrefixRule, ...]:
        if isinstance(at, slice):
            return tuple(self)[at]
        place = range(len(self))[at]
        for part in self.parts:
            size = len(part) if isinstance(part, ColumnarRules) else 1
            if place < size:
                return part[place] if isinstance(part, ColumnarRules) else part
            place -= size
        raise IndexError(at)


def parts_of(rules: Iterable[PrefixRule]) -> Iterable[PrefixRule | ColumnarRules]:
    return rules.parts if isinstance(rules, PrefixRules) else rules


def join_rules(several: Iterable[Iterable[PrefixRule]]) -> PrefixRules:
    return PrefixRules(tuple(part for rules in several for part in parts_of(rules)))


def ids_of(rules: Iterable[PrefixRule]) -> Iterator[str]:
    for part in parts_of(rules):
        if isinstance(part, ColumnarRules):
            yield from part.ids
        else:
            yield part.id


def texts_of(rules: Iterable[PrefixRule]) -> dict[str, str]:
    """The descriptions of those that have one, by id."""
    texts: dict[str, str] = {}
    for part in parts_of(rules):
        if not isinstance(part, ColumnarRules):
            texts |= {part.id: part.description} if part.description else {}
        elif any(part.descriptions):
            texts.update((name, text) for name, text in zip(part.ids, part.descriptions, strict=True) if text)
    return texts


def objects_of(rules: Iterable[PrefixRule]) -> Iterator[PrefixRule]:
    """Those that are kept as objects: all that expire or have a schedule are among them."""
    return (part for part in parts_of(rules) if not isinstance(part, ColumnarRules))
