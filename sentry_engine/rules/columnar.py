# SPDX-License-Identifier: GPL-3.0-or-later
"""Columnar rules: prefix rules with one action, one prefix and nothing else, kept as columns.

A rule as an object costs a kilobyte and several microseconds, and large policies consist mostly of such rules.
Iterating over ``PrefixRules`` yields objects, made on access.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from sentry_engine.prefixes import Origin, Prefixes
from sentry_engine.records import dataclass
from sentry_engine.rules.model import PrefixRule
from sentry_engine.verdict import Action


@dataclass(frozen=True, slots=True)
class ColumnarRules(Sequence[PrefixRule]):
    """Consecutive rules of one list in one file, with the same action."""

    action: Action
    ids: tuple[str, ...]
    descriptions: tuple[str, ...]
    prefixes: Prefixes  # one row per id
    file: str
    pointer: str  # of the list
    first: int  # index of the first rule in it

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
    """Prefix rules in order, as objects and columns."""

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
    """Descriptions by id, without empty ones."""
    texts: dict[str, str] = {}
    for part in parts_of(rules):
        if not isinstance(part, ColumnarRules):
            texts |= {part.id: part.description} if part.description else {}
        elif any(part.descriptions):
            texts.update((name, text) for name, text in zip(part.ids, part.descriptions, strict=True) if text)
    return texts


def objects_of(rules: Iterable[PrefixRule]) -> Iterator[PrefixRule]:
    """The rules kept as objects. They include all that expire or have a schedule."""
    return (part for part in parts_of(rules) if not isinstance(part, ColumnarRules))
