# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the support archive: one tar file, for its owner alone, of bounded size, with every secret masked.

What cannot be found out is said in the archive, and keeps nothing else out of it.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError, describe_os_error
from ocsentry.setup.backup import paths_in
from ocsentry.setup.checks.running import server_process
from ocsentry.setup.doctor import run_checks
from ocsentry.setup.support.host_facts import (
    COMMANDS,
    command_output,
    describe_host,
    describe_process,
    list_files,
)
from ocsentry.setup.support.known_secrets import secrets_of, secrets_of_refused
from ocsentry.setup.support.redaction import Redactor
from ocsentry.setup.support.server_facts import ask_server
from ocsentry.setup.support.shown_settings import show_configuration
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ocsentry.configuration.model import LoadedConfig

MAX_MEMBER = 1024 * 1024  # bytes of each file in the archive, of which there are about 25
FILE_MODE = 0o600
READ_ME = """\
Support archive of ocsentry {version}, made at {made_at}.

It holds versions, the configuration, what `ocsentry doctor` found, counts, recent events and the end of the log.
Passwords, keys, tokens and cookies are left out or masked. Names of users, addresses and file names are in it:
look at it before it leaves your hands.
"""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive. ``cut``: bytes left out, because the file is bounded."""

    name: str
    size: int
    cut: int


@dataclass(frozen=True, slots=True)
class Bundle:
    made_at: str
    version: str
    files: tuple[Member, ...]


def make_bundle(path: Path, config: LoadedConfig | OperatorError, target: Path) -> Bundle:
    """Writes the archive for the configuration at ``path``; without a valid one, for the error of reading it.

    Raises ``FileExistsError`` for a target that exists, and ``OSError`` where it cannot be written; then there is none.
    """
    if isinstance(config, OperatorError):
        redactor, sources = Redactor(secrets_of_refused(path)), _of_host(None, [path])
        texts = [("configuration/error.txt", f"{config}\n")]
    else:
        redactor, sources = Redactor(secrets_of(config)), _of_server(config)
        texts = []
    host = describe_host()
    made_at, version = str(host["time"]), str(host["ocsentry"])
    texts.insert(0, ("README.txt", READ_ME.format(version=version, made_at=made_at)))
    texts.insert(1, ("versions.json", _as_json(host)))
    members: list[Member] = []
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as stream:
        try:
            with tarfile.open(fileobj=stream, mode="w:gz") as archive:
                for name, text in (*texts, *sources):
                    members.append(_add(archive, target, name, redactor.clean(text)))
                manifest = {"made_at": made_at, "version": version, "files": [asdict(each) for each in members]}
                _add(archive, target, "manifest.json", _as_json(manifest))
        except BaseException:
            target.unlink()
            raise
    return Bundle(made_at, version, tuple(members))


def _of_server(config: LoadedConfig) -> Iterator[tuple[str, str]]:
    shown = {"path": str(config.path), "reads": list(map(str, config.reads)), "settings": None}
    yield "configuration/settings.json", _as_json(shown | {"settings": show_configuration(config.values)})
    yield from _found("doctor.json", lambda: _as_json([asdict(result) for result in run_checks(config)]))
    yield from ask_server(config.values.admin.socket)
    database = config.database_file
    files = [Path(f"{database}{end}") for end in ("", "-wal", "-shm")] if database is not None else []
    yield from _of_host(
        server_process(config), [config.path, *files, *config.reads, *paths_in(config.values.model_dump())]
    )


def _of_host(process: int | None, files: list[Path]) -> Iterator[tuple[str, str]]:
    if process is not None:
        yield from _found("service/process.txt", lambda: describe_process(process))
    yield from _found("files.txt", lambda: list_files(files))
    for name, command in COMMANDS.items():
        yield from _found(name, partial(command_output, command, MAX_MEMBER))


def _found(name: str, find: Callable[[], str]) -> Iterator[tuple[str, str]]:
    """Yields the text, or why there is none."""
    try:
        yield name, find()
    except (OSError, OperatorError) as error:
        yield name, f"not found out: {describe_os_error(error) if isinstance(error, OSError) else error}\n"


def _add(archive: tarfile.TarFile, target: Path, name: str, text: str) -> Member:
    """Of a text that is too long, the end stays of a log, and the beginning of a document."""
    content = text.encode("utf-8", "replace")
    cut = max(0, len(content) - MAX_MEMBER)
    content = content[:MAX_MEMBER] if name.endswith(".json") else content[-MAX_MEMBER:]
    info = tarfile.TarInfo(f"{target.name.partition('.')[0]}/{name}")
    info.size, info.mode, info.mtime = len(content), FILE_MODE, datetime.now(UTC).timestamp()
    archive.addfile(info, io.BytesIO(content))
    return Member(name, len(content), cut)


def _as_json(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n"
