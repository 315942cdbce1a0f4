# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences of two states of the policy, rule by rule and file by file. Logins in URLs are hidden."""

from __future__ import annotations

import json
import zlib
from difflib import unified_diff
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from admin_api.enforcement.api_rules import hide_logins
from admin_api.enforcement.policy.revisions import Source
from sentry_engine.policy.feeds import hide_login
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from admin_api.store import UnitOfWork
    from admin_api.store.tables import PolicyChange, PolicyContent
    from sentry_engine.policy.rule_files import RuleFile

MAX_DIFF = 128 * 1024  # bytes of each side; comparing longer ones takes seconds
MAX_DIFF_LINES = 2_000  # of one diff
MAX_DIFFERENCES = 1_000  # in one answer


class DifferenceKind(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Side:
    """``text`` is ``None`` if there is nothing of that name, or its content is not kept (``unknown``)."""

    text: str | None = None
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    source: Source
    name: str
    kind: DifferenceKind
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    diff: str | None


async def read_changes(unit: UnitOfWork, *, after: int, until: int) -> Callable[[], list[Difference]]:
    """Reads what the versions after ``after`` up to ``until`` changed together. Returns what compares it: slow work."""
    first: dict[tuple[str, str], PolicyChange] = {}
    last: dict[tuple[str, str], PolicyChange] = {}
    for change in await unit.revisions.changes(after=after, until=until):
        key = (change.source, change.name)
        first.setdefault(key, change)
        last[key] = change
    keys = [key for key in sorted(first) if first[key].before != last[key].after][:MAX_DIFFERENCES]
    contents = await unit.revisions.contents(digest for key in keys for digest in (first[key].before, last[key].after))

    def compare_all() -> list[Difference]:
        return [
            compare(Source(key[0]), key[1], _side(contents, first[key].before), _side(contents, last[key].after))
            for key in keys
        ]

    return compare_all


def compare_rules(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> list[Difference]:
    """Returns the rules that differ, by id."""
    changed = [name for name in sorted({**before, **after}) if before.get(name) != after.get(name)]
    return [
        compare(Source.API, name, _rule_side(before.get(name)), _rule_side(after.get(name)))
        for name in changed[:MAX_DIFFERENCES]
    ]


def compare_files(before: Mapping[str, RuleFile], after: Mapping[str, RuleFile]) -> list[Difference]:
    """Returns the files that differ, by name."""
    names = [name for name in sorted({**before, **after}) if _digest(before.get(name)) != _digest(after.get(name))]
    return [
        compare(Source.FILE, name, _file_side(before.get(name)), _file_side(after.get(name)))
        for name in names[:MAX_DIFFERENCES]
    ]


def compare(source: Source, name: str, before: Side, after: Side) -> Difference:
    gone, there = after.text is None and not after.unknown, before.text is None and not before.unknown
    kind = DifferenceKind.REMOVED if gone else DifferenceKind.ADDED if there else DifferenceKind.CHANGED
    documents = [_document(source, side) for side in (before, after)]
    return Difference(source, name, kind, documents[0], documents[1], _diff(before, after))


def _diff(before: Side, after: Side) -> str | None:
    if before.unknown or after.unknown or len(before.text or "") > MAX_DIFF or len(after.text or "") > MAX_DIFF:
        return None
    old, new = _lines(before), _lines(after)
    lines = list(unified_diff(old, new, lineterm=""))[2:]
    return "".join(f"{line}\n" for line in lines[:MAX_DIFF_LINES])


def _lines(side: Side) -> list[str]:
    lines = (side.text or "").splitlines()
    return [hide_login(line) if "://" in line and "@" in line else line for line in lines]


def _document(source: Source, side: Side) -> dict[str, Any] | None:
    if source is not Source.API or side.text is None:
        return None
    document: dict[str, Any] = json.loads(side.text)
    return hide_logins(document)


def _side(contents: Mapping[bytes, PolicyContent], digest: bytes | None) -> Side:
    if digest is None:
        return Side()
    row = contents.get(digest)
    return Side(unknown=True) if row is None else Side(_readable(zlib.decompress(row.data)))


def _file_side(file: RuleFile | None) -> Side:
    if file is None:
        return Side()
    data = file.text()
    return Side(unknown=True) if data is None else Side(_readable(data))


def _rule_side(document: Mapping[str, Any] | None) -> Side:
    return Side() if document is None else Side(_readable(json.dumps(document, ensure_ascii=False).encode()))


def _readable(data: bytes) -> str:
    """Returns the text; a document on one line is indented, so that a diff shows its keys."""
    text = data.decode("utf-8", "replace")
    if len(text) <= MAX_DIFF and text.startswith("{") and "\n" not in text:
        try:
            return json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False)
        except ValueError:
            return text
    return text


def _digest(file: RuleFile | None) -> bytes | None:
    return None if file is None else file.digest
