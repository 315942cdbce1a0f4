# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast path for columnar rules: one action, one prefix, at most a description.

It only accepts. Rules that are not certainly valid are left to the models and their messages. An accepted rule means
exactly what the models would make of it; tests compare the two.

Rules are checked in batches, a column at a time. If a batch contains another rule, its halves are checked, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from sentry_engine.addresses import AddressError
from sentry_engine.formats.document_model import MAX_RULES
from sentry_engine.formats.rule_model import ID_PATTERN, MAX_ID, MAX_TEXT
from sentry_engine.prefixes import Prefixes
from sentry_engine.records import dataclass
from sentry_engine.rules.columnar import ColumnarRules
from sentry_engine.rules.prefix_columns import pack_networks
from sentry_engine.verdict import Action

ACTIONS = {"blacklist": "reject", "whitelist": "accept"}  # default actions by type
TOGETHER = {*ACTIONS.items(), ("geo_filter", "reject"), ("geo_filter", "accept")}  # (type, action)
WORTH_IT = 64  # rules; for fewer the models are fast enough
MatchesId = Callable[[str], object]  # None: invalid or reserved
BATCH = 4_096  # rules checked together, for CPU cache locality


@dataclass(frozen=True, slots=True)
class RuleColumns:
    """Consecutive columnar rules, one row each."""

    first: int
    actions: list[str]
    ids: list[str]
    descriptions: list[str]
    networks: bytes
    lengths: bytes

    def cut(self) -> Iterator[RuleColumns]:
        """Split where the action changes."""
        if len(set(self.actions)) == 1:
            yield self
            return
        begin = 0
        for _, same in groupby(self.actions):
            end = begin + len(list(same))
            yield RuleColumns(
                self.first + begin,
                self.actions[begin:end],
                self.ids[begin:end],
                self.descriptions[begin:end],
                self.networks[16 * begin : 16 * end],
                self.lengths[begin:end],
            )
            begin = end


@dataclass(frozen=True, slots=True)
class Split:
    """The rules of a document: runs of columnar ones with the index of their first, and the indices of the others."""

    runs: tuple[tuple[int, ColumnarRules], ...] = ()
    others: Sequence[int] = ()
    ids: frozenset[str] = frozenset()  # of the columnar rules

    def place_of(self, rule_id: str) -> int:
        return next(first + run.ids.index(rule_id) for first, run in self.runs if rule_id in run.ids)


def split_rules(document: object, *, file: str, pointer: str, reserved: tuple[str, ...]) -> Split | None:
    """``None`` if the fast path does not apply: few rules, a document of another shape, duplicate ids."""
    sentry = document.get("wolfsentry") if type(document) is dict else None
    rules = sentry.get("rules") if type(sentry) is dict else None
    if type(rules) is not list or not WORTH_IT <= len(rules) <= MAX_RULES:
        return None
    others: list[int] = []
    matches_id = re.compile(f"(?!{'|'.join(map(re.escape, reserved))}){ID_PATTERN}").fullmatch
    found = [
        columns
        for begin in range(0, len(rules), BATCH)
        for columns in _find_columnar(rules[begin : begin + BATCH], begin, matches_id, others)
    ]
    ids = frozenset(chain.from_iterable(columns.ids for columns in found))
    if len(ids) + len(others) != len(rules):
        return None
    runs = tuple((run.first, run) for run in _join(found, file, pointer))
    return Split(runs, others, ids)


def without_columnar(document: Mapping[str, Any], split: Split) -> Mapping[str, Any]:
    """The document with the remaining rules, for the models."""
    sentry = document["wolfsentry"]
    rules = sentry["rules"]
    return {**document, "wolfsentry": {**sentry, "rules": [rules[at] for at in split.others]}}


def _find_columnar(rules: list[Any], first: int, matches_id: MatchesId, others: list[int]) -> Iterator[RuleColumns]:
    """Yield the columnar ones of ``rules`` in order. Indices of the rest are appended to ``others``."""
    columns = _read_columns(rules, first, matches_id)
    if columns is not None:
        yield from columns.cut()
    elif len(rules) == 1:
        others.append(first)
    else:
        half = len(rules) // 2
        yield from _find_columnar(rules[:half], first, matches_id, others)
        yield from _find_columnar(rules[half:], first + half, matches_id, others)


def _read_columns(rules: list[Any], first: int, matches_id: MatchesId) -> RuleColumns | None:
    """``None`` unless all of ``rules`` are columnar."""
    if set(map(type, rules)) != {dict}:
        return None
    try:
        ids, kinds, texts = (list(map(itemgetter(key), rules)) for key in ("id", "type", "remote_addr"))
    except KeyError:
        return None
    if not all(set(map(type, column)) == {str} for column in (ids, kinds, texts)):
        return None
    actions: list[Any] = list(map(ACTIONS.get, kinds))
    descriptions = [""] * len(rules)
    if set(map(len, rules)) != {3}:
        actions = [rule.get("action", known) for rule, known in zip(rules, actions, strict=True)]
        descriptions = [rule.get("description", "") for rule in rules]
        known_keys = (3 + ("action" in rule) + ("description" in rule) for rule in rules)
        if any(keys != len(rule) for keys, rule in zip(known_keys, rules, strict=True)):
            return None
        if set(map(type, chain(actions, descriptions))) != {str}:
            return None
        if max(map(len, descriptions)) > MAX_TEXT or not all(map(str.isascii, descriptions)):
            return None
    if not TOGETHER.issuperset(zip(kinds, actions, strict=True)):
        return None
    if max(map(len, ids)) > MAX_ID or not all(map(matches_id, ids)):
        return None
    try:
        networks, lengths = pack_networks(texts)
    except AddressError:
        return None
    return RuleColumns(first, actions, ids, descriptions, networks, lengths)


def _join(found: list[RuleColumns], file: str, pointer: str) -> Iterator[ColumnarRules]:
    """Merge adjacent runs with the same action."""
    joined: list[RuleColumns] = []
    for columns in found:
        last = joined[-1] if joined else None
        if last and (last.actions[0] != columns.actions[0] or last.first + len(last.ids) != columns.first):
            yield _freeze(joined, file, pointer)
            joined = []
        joined.append(columns)
    if joined:
        yield _freeze(joined, file, pointer)


def _freeze(columns: list[RuleColumns], file: str, pointer: str) -> ColumnarRules:
    return ColumnarRules(
        Action(columns[0].actions[0]),
        tuple(chain.from_iterable(c.ids for c in columns)),
        tuple(chain.from_iterable(c.descriptions for c in columns)),
        Prefixes(b"".join(c.networks for c in columns), b"".join(c.lengths for c in columns)),
        file,
        pointer,
        columns[0].first,
    )
