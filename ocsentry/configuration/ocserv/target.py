# SPDX-License-Identifier: GPL-3.0-or-later
"""The document that a translation builds, with what the operator is told about each key.

The document has the shape of the TOML file. ``origins`` says which line of ocserv's file each of its keys comes from,
so that an error of the configuration's model is reported at that line.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentry_engine.records import dataclass
from vpn_frontend.ocserv.grammar import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class Outcome(StrEnum):
    """What becomes of a key. The words are those of reports and of the documentation."""

    MAPPED = "mapped"
    DIFFERS = "mapped differently"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the report on one line of the file."""

    outcome: Outcome
    line: int
    key: str
    text: str

    def render(self, file: Path) -> str:
        return f"{file}:{self.line}: {self.key}: {self.text}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a translation may look at: the folder of the file, other files by ``read``, addresses of host names."""

    base: Path
    state: Path
    read: Callable[[Path], bytes]  # raises OSError
    resolve: Callable[[str], tuple[str, ...]]  # raises OSError
    groups: Callable[[], Iterable[tuple[str, int]]] = tuple  # of the system, with their numbers
    working: Path = Path("/")
    opened: list[Path] = field(default_factory=list)  # by ``look_into``

    def look_into(self, path: Path) -> bytes:
        """The content of a file that the next reload reads too. Raises ``OSError``."""
        self.opened.append(path)
        return self.read(path)


@dataclass(slots=True)
class Target:
    """The document in the making. ``given`` has the entries of each key, under the name that ocserv uses today."""

    around: Surroundings
    given: Mapping[str, tuple[Entry, ...]]
    document: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)  # that the state folder needs, by name
    notes: list[Note] = field(default_factory=list)
    origins: dict[str, Entry] = field(default_factory=dict)

    def set(self, key: str, value: object, entry: Entry | None = None) -> None:
        """Sets the dotted key of the TOML file."""
        *tables, name = key.split(".")
        place = self.document
        for table in tables:
            place = place.setdefault(table, {})
        place[name] = value
        if entry is not None:
            self.origins[key] = entry

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - TOML values of any type
        place: Any = self.document
        for part in key.split("."):
            if not isinstance(place, dict) or part not in place:
                return default
            place = place[part]
        return place

    def last(self, key: str) -> Entry | None:
        """The entry that counts for a key with one value."""
        entries = self.given.get(key, ())
        return entries[-1] if entries else None

    def differs(self, entry: Entry, text: str) -> None:
        self.notes.append(Note(Outcome.DIFFERS, entry.line, entry.key, text))

    def ignore(self, entry: Entry, text: str) -> None:
        self.notes.append(Note(Outcome.IGNORED, entry.line, entry.key, text))

    def refuse(self, entry: Entry, text: str) -> None:
        self.notes.append(Note(Outcome.REFUSED, entry.line, entry.key, text))

    def file(self, entry: Entry, text: str) -> str:
        """The absolute path of a file or folder. Relative ones are looked for beside ocserv's file.

        ocserv looks in its working directory, so that is tried too where nothing lies beside the file.
        """
        path = Path(text)
        root = self.last("chroot-dir")
        if path.is_absolute():
            inside = path if root is None else Path(root.value, *path.parts[1:])
            return str(inside if inside.exists() and not path.exists() else path)
        beside, working = self.around.base / path, self.around.working / path
        found = beside if beside.exists() or not working.exists() else working
        if self.around.base != self.around.working:
            self.differs(entry, f"the relative path is read as {found}")
        return str(found)


def entries_by_key(entries: Iterable[Entry]) -> dict[str, tuple[Entry, ...]]:
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.key].append(entry)
    return {key: tuple(several) for key, several in found.items()}
