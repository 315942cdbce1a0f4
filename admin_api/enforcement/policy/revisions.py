# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes each state of the policy as a revision, and finds what a return to an earlier one changes."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from admin_api.enforcement.policy.rule_file_set import HeldFile, RuleFileSet
from admin_api.http.problems import ApiError, ProblemKind
from admin_api.store.tables import PolicyChange, PolicyContent, PolicyFile, PolicyRevision
from sentry_engine.policy.rule_files import digest_file, parse_file
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from admin_api.store import UnitOfWork
    from sentry_engine.policy.rule_files import RuleFile

Documents = dict[str, dict[str, Any]]  # rules made over the API, by id
RULES = "rules"  # the kind of change that tells the other nodes of a fleet of the policy


class Source(StrEnum):
    """Where a part of the policy comes from."""

    API = "api"
    FILE = "file"


class RevisionAction(StrEnum):
    """What made a revision."""

    START = "start"
    FILES = "files"
    RULE_ADDED = "rule_added"
    RULE_REPLACED = "rule_replaced"
    RULE_REMOVED = "rule_removed"
    APPLIED = "applied"
    ROLLED_BACK = "rolled_back"


class Outcome(StrEnum):
    """What became of a revision that had to be confirmed."""

    CONFIRMED = "confirmed"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Note:
    """Who changed the policy, how and why. ``rules``: of the policy then."""

    by: str
    action: RevisionAction
    reason: str = ""
    rules: int = 0
    confirm_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class RuleEdits:
    """Changed rules of the API by id, before and after; ``None``: there is none."""

    before: Mapping[str, dict[str, Any] | None] = field(default_factory=dict)
    after: Mapping[str, dict[str, Any] | None] = field(default_factory=dict)

    @classmethod
    def between(cls, before: Documents, after: Documents) -> RuleEdits:
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return cls({name: before.get(name) for name in changed}, {name: after.get(name) for name in changed})


async def note_revision(unit: UnitOfWork, note: Note, files: RuleFileSet, edits: RuleEdits) -> PolicyRevision | None:
    """Write a revision if the files or rules differ from those last noted. Returns ``None`` if they do not."""
    await unit.revisions.take_turn()
    noted = await unit.revisions.files()
    present = files.digests()
    before = {name: row.digest for name, row in noted.items() if row.digest is not None}
    changes = [
        PolicyChange(source=Source.FILE, name=name, before=before.get(name), after=present.get(name))
        for name in sorted({**before, **present})
        if before.get(name) != present.get(name)
    ]
    contents = [row for name, file in files.files.items() if (row := _file_content(file)) is not None]
    for name in sorted(edits.after):
        rows = [_rule_content(document) for document in (edits.before[name], edits.after[name])]
        digests = [None if row is None else row.digest for row in rows]
        changes.append(PolicyChange(source=Source.API, name=name, before=digests[0], after=digests[1]))
        contents += [row for row in rows if row is not None]
    rows_of_files = _file_rows(files)
    if {row.name: (row.digest, row.held, row.rejected) for row in rows_of_files} != {
        name: (row.digest, row.held, row.rejected) for name, row in noted.items()
    }:
        await unit.revisions.replace_files(rows_of_files)
    if not changes:
        return None
    named = {digest for change in changes for digest in (change.before, change.after)}
    await unit.revisions.keep_contents(row for row in contents if row.digest in named)
    return await unit.revisions.add(
        note.by, note.action, changes, reason=note.reason, rules=note.rules, confirm_by=note.confirm_by
    )


async def write_rules(unit: UnitOfWork, edits: RuleEdits, by: str) -> None:
    """Write the changed rules of the API."""
    for rule_id, document in edits.after.items():
        row = await unit.rules.get(rule_id)
        if document is None:
            if row is not None:
                await unit.rules.remove(row)
        elif row is None:
            await unit.rules.add(rule_id, dict[str, Any](document), created_by=by)
        else:
            await unit.rules.replace(row, dict[str, Any](document))


def tell_version(unit: UnitOfWork, row: PolicyRevision | None) -> None:
    """Have the other nodes of a fleet know of a revision that this one has made of its own files."""
    if row is not None:
        unit.changes.note(RULES, "", noted=row.number)


async def read_files_in_force(unit: UnitOfWork) -> RuleFileSet:
    """Returns the held files as they were last noted. Raises ``PolicyError`` if one is no longer valid."""
    rows = [row for row in (await unit.revisions.files()).values() if row.held]
    contents = await unit.revisions.contents(row.digest for row in rows)
    held = {row.name: HeldFile(_restore(row.name, contents, row.digest), row.rejected) for row in rows}
    return RuleFileSet(held=held)


@dataclass(frozen=True, slots=True)
class EarlierState:
    """The files and rules of an earlier revision."""

    files: RuleFileSet
    documents: Documents


async def read_earlier(unit: UnitOfWork, number: int, latest: int, now: RuleFileSet, rules: Documents) -> EarlierState:
    """Returns the state at revision ``number``; ``now`` and ``rules`` are those at ``latest``.

    Raises ``ApiError`` if the log does not reach so far back, or lacks a content.
    """
    if number >= latest or number < 1 or await unit.revisions.get(number) is None:
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no earlier version {number}")
    wanted: dict[tuple[str, str], bytes | None] = {}
    for change in reversed(await unit.revisions.changes(after=number, until=latest)):
        wanted[change.source, change.name] = change.before
    contents = await unit.revisions.contents(wanted.values())
    lost = [name for (_, name), digest in wanted.items() if digest is not None and digest not in contents]
    if lost:
        raise ApiError(ProblemKind.CONTENT_NOT_KEPT, f"{lost[0]} of version {number} is not kept: it is too large")
    files, held, documents = dict(now.files), dict(now.held), dict(rules)
    for (source, name), digest in wanted.items():
        if source == Source.API:
            documents.pop(name, None)
            if digest is not None:
                documents[name] = json.loads(zlib.decompress(contents[digest].data))
            continue
        file, on_disk = _restore(name, contents, digest), digest_file(Path(name))
        files.pop(name, None)
        held.pop(name, None)
        if file is not None:
            files[name] = file
        if on_disk != digest:
            held[name] = HeldFile(file, on_disk)
    return EarlierState(RuleFileSet(files, held), documents)


def lacks_content(before: RuleFileSet, after: RuleFileSet) -> str | None:
    """Returns a file whose earlier state could not be restored if ``after`` replaced ``before``."""
    changed = (name for name, file in before.files.items() if after.digests().get(name) != file.digest)
    empty = hashlib.sha256().digest()
    return next((n for n in changed if before.files[n].content is None and before.files[n].digest != empty), None)


def _restore(name: str, contents: Mapping[bytes, PolicyContent], digest: bytes | None) -> RuleFile | None:
    if digest is None:
        return None
    row = contents[digest]
    return parse_file(zlib.decompress(row.data), Path(name), row.changed_at or 0.0)


def _file_content(file: RuleFile) -> PolicyContent | None:
    data = file.content
    if data is None and file.digest == hashlib.sha256().digest():
        data = zlib.compress(b"")  # of a list: the file itself is read where it is
    return None if data is None else PolicyContent(digest=file.digest, data=data, changed_at=file.changed_at)


def _rule_content(document: Mapping[str, Any] | None) -> PolicyContent | None:
    if document is None:
        return None
    text = json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
    return PolicyContent(digest=hashlib.sha256(text).digest(), data=zlib.compress(text), changed_at=None)


def _file_rows(files: RuleFileSet) -> Iterable[PolicyFile]:
    names = sorted({**files.files, **files.held})
    rows = []
    for name in names:
        file, held = files.files.get(name), files.held.get(name)
        rows.append(
            PolicyFile(
                name=name,
                digest=None if file is None else file.digest,
                held=held is not None,
                rejected=None if held is None else held.rejected,
            )
        )
    return rows
