# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup and restore: one archive of configuration, rules, keys and database, with a digest of each file.

The copy of a SQLite database is consistent while the server runs (SQLite's backup interface). A PostgreSQL database is
not in the archive: its own tools copy it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sqlite3
import tarfile
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ocsentry.errors import OperatorError
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocsentry.configuration.model import LoadedConfig

MANIFEST = "manifest.json"
FORMAT = 1
MAX_FILES = 10_000
MAX_BYTES = 64 * 1024 * 1024 * 1024  # of all files of an archive
MAX_MANIFEST = 16 * 1024 * 1024
PIECE = 1024 * 1024
FOLDER_MODE, FILE_MODE = 0o750, 0o600


class BackupError(OperatorError):
    """The archive cannot be made, or is not whole."""


@dataclass(frozen=True, slots=True)
class Archive:
    """What an archive holds. ``left_out``: files of the configuration that are outside its folder."""

    made_at: str
    version: str
    files: dict[str, str]  # SHA-256 by name
    left_out: tuple[str, ...] = ()


def make_backup(config: LoadedConfig, target: Path) -> Archive:
    """Write the archive. Raises ``BackupError``; then ``target`` does not exist."""
    folder = config.path.parent
    with tempfile.TemporaryDirectory(prefix="ocsentry-backup-", dir=target.parent) as scratch:
        inside, outside = _sort(_files_of(config), folder)
        database = config.database_file
        if database is not None:
            copy = Path(scratch, "database")
            _copy_database(database, copy)
            inside = {name: path for name, path in inside.items() if not _belongs_to(path, database)}
            name = _name_in(database, folder)
            if name is None:
                raise BackupError(f"store.url: {database} is outside {folder}, so no archive can restore it there")
            inside[name] = copy
        partial = Path(scratch, "archive")
        archive = _write(partial, inside, outside)
        partial.rename(target)
    return archive


def read_backup(source: Path, folder: Path | None = None) -> Archive:
    """Check the archive: each file has its digest, and the database is whole.

    With ``folder`` its files are put there too, once all are checked; the folder must not exist, or be empty.
    Raises ``BackupError``.
    """
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise BackupError(f"{folder} is not empty: name another folder")
    parent = source.parent if folder is None else folder.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ocsentry-restore-", dir=parent) as scratch:
        try:
            archive = _unpack(source, Path(scratch, "files"))
        except (tarfile.TarError, EOFError, OSError, KeyError, TypeError, ValueError) as error:
            raise BackupError(f"{source}: not a whole archive of ocsentry: {error}") from error
        for name in archive.files:
            path = Path(scratch, "files", name)
            if _is_database(path):
                _check_database(path, name)
        if folder is not None:
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()  # empty
            Path(scratch, "files").rename(folder)
    return archive


def _files_of(config: LoadedConfig) -> Iterator[Path]:
    """Yields the configuration and every file that it names, rule files and databases of places among them."""
    yield config.path
    for path in paths_in(config.values.model_dump()):
        if path.is_dir():
            yield from (file for file in sorted(path.rglob("*")) if file.is_file() and not file.is_symlink())
        elif path.is_file():
            yield path


def paths_in(value: Any) -> Iterator[Path]:  # noqa: ANN401 - values of the configuration
    """Yields every path in nested values."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from paths_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from paths_in(item)


def _sort(paths: Iterator[Path], folder: Path) -> tuple[dict[str, Path], list[str]]:
    inside: dict[str, Path] = {}
    outside: list[str] = []
    for path in paths:
        name = _name_in(path, folder)
        if name is None:
            outside.append(str(path))
        else:
            inside[name] = path
    return inside, sorted(set(outside))


def _name_in(path: Path, folder: Path) -> str | None:
    try:
        return str(PurePosixPath(path.absolute().relative_to(folder.absolute())))
    except ValueError:
        return None


def _belongs_to(path: Path, database: Path) -> bool:
    return path.absolute() in {Path(f"{database.absolute()}{end}") for end in ("", "-wal", "-shm", "-journal")}


def _copy_database(source: Path, target: Path) -> None:
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as live,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy, pages=1024, sleep=0.01)
            copy.execute("PRAGMA journal_mode = DELETE")
        target.chmod(FILE_MODE)
    except sqlite3.Error as error:
        raise BackupError(f"{source}: the database cannot be copied: {error}") from error
    _check_database(target, str(source))


def _check_database(path: Path, name: str) -> None:
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        said = str(error)
    if said != "ok":
        raise BackupError(f"{name}: the database is damaged: {said}")


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\x00"


def _write(target: Path, files: dict[str, Path], left_out: list[str]) -> Archive:
    if len(files) > MAX_FILES:
        raise BackupError(f"{len(files)} files; an archive holds {MAX_FILES}")
    digests: dict[str, str] = {}
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with os.fdopen(descriptor, "wb") as stream, tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, path in sorted(files.items()):
            info = tarfile.TarInfo(name)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                info.size, info.mode = file.tell(), path.stat().st_mode & 0o777
                file.seek(0)
                archive.addfile(info, file)
            digests[name] = digest
        made = Archive(datetime.now(UTC).isoformat(timespec="seconds"), version("ocsentry"), digests, tuple(left_out))
        facts = {"format": FORMAT, "made_at": made.made_at, "version": made.version, "files": digests}
        document = json.dumps({**facts, "left_out": left_out}).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = len(document), FILE_MODE
        archive.addfile(info, io.BytesIO(document))
    return made


def _unpack(source: Path, folder: Path) -> Archive:
    digests: dict[str, str] = {}
    manifest: dict[str, Any] | None = None
    room = MAX_BYTES
    folder.mkdir(FOLDER_MODE)
    with tarfile.open(source, "r|gz") as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if not member.isfile() or stream is None or len(digests) > MAX_FILES or member.size > room:
                raise BackupError(f"{source}: {member.name} does not belong into an archive of ocsentry")
            room -= member.size
            if member.name == MANIFEST:
                manifest = json.loads(stream.read(MAX_MANIFEST))
                continue
            target = _place(folder, member.name)
            target.parent.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            digest = hashlib.sha256()
            with target.open("xb") as file:
                target.chmod(member.mode & 0o777)
                while piece := stream.read(PIECE):
                    digest.update(piece)
                    file.write(piece)
            digests[member.name] = digest.hexdigest()
    if manifest is None:
        raise BackupError(f"{source}: it has no {MANIFEST}: the end is missing")
    if manifest["format"] != FORMAT:
        raise BackupError(f"{source}: format {manifest['format']}; this version reads {FORMAT}")
    wrong = sorted(
        name for name in digests.keys() | manifest["files"].keys() if digests.get(name) != manifest["files"].get(name)
    )
    if wrong:
        raise BackupError(f"{source}: damaged or changed: {', '.join(wrong[:5])}")
    return Archive(manifest["made_at"], manifest["version"], digests, tuple(manifest["left_out"]))


def _place(folder: Path, name: str) -> Path:
    """Returns where a file of an archive goes. Raises ``BackupError`` for a name that leaves the folder."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\x00" in name:
        raise BackupError(f"{name!r} leads out of the folder")
    return folder / pure
