# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads an ``ocserv.conf``: the same ``LoadedConfig`` as a TOML file gives, and a folder for the server's state.

The folder holds what ocserv has no files for: database, admin socket, keys, and the rules and secrets that the
translation makes. They are written again at every load.
"""

from __future__ import annotations

import grp
import hashlib
import os
import socket
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ocsentry.configuration.model import Config, ConfigError, LoadedConfig
from ocsentry.configuration.ocserv.target import Surroundings
from ocsentry.configuration.ocserv.translation import Translation, translate
from sentry_engine.records import dataclass
from vpn_frontend.ocserv.grammar import MAX_FILE_BYTES, parse

if TYPE_CHECKING:
    from collections.abc import Iterator


STATE = Path("/var/lib/ocsentry")
STATE_VARIABLE = "STATE_DIRECTORY"  # systemd's
SYSLOG = {"syslog": "daemon", "syslog_format": "ocserv"}  # ocserv's own default
JOURNAL = "JOURNAL_STREAM"  # systemd's, where it keeps standard output
FOLDER_MODE, FILE_MODE = 0o750, 0o600
MAX_FILE = 1 << 20  # bytes of a file that ocserv.conf names


@dataclass(frozen=True, slots=True)
class OcservConfig:
    """A loaded file: the configuration, and what the operator should know."""

    config: LoadedConfig
    translation: Translation
    path: Path
    state: Path

    @property
    def pid_file(self) -> Path | None:
        named = self.translation.pid_file
        return None if named is None else Path(named)

    def report(self) -> list[str]:
        return [note.render(self.path) for note in self.translation.notes]


def state_folder(path: Path, explicit: Path | None = None) -> Path:
    """The folder of a file's server: two files have two servers."""
    if explicit is not None:
        return explicit.absolute()
    if given := os.environ.get(STATE_VARIABLE):
        return Path(given.partition(":")[0])
    path = path.absolute()
    return STATE / f"{path.name}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"


def load_ocserv(path: Path, state: Path | None = None, debug: int | None = None) -> OcservConfig:
    """Read and translate ``path``. Writes nothing. Raises ``ConfigError`` with every refused line.

    ``debug``: the level of ocserv's option of that name, which goes before ``log-level``.
    """
    path, state = path.absolute(), state_folder(path, state)
    translation = translate_file(path, state, debug)
    if translation.refusals:
        raise ConfigError(*(note.render(path) for note in translation.refusals))
    if JOURNAL not in os.environ:  # elsewhere the lines of standard output may be lost
        log = {**SYSLOG, **translation.document.get("log", {})}
        translation = replace(translation, document={**translation.document, "log": log})
    return OcservConfig(_validate(path, state, translation, debug), translation, path, state)


def translate_file(path: Path, state: Path, debug: int | None = None) -> Translation:
    """Raises ``ConfigError`` if the file cannot be read, or is not in ocserv's grammar."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    parsed = parse(data)
    path = path.absolute()
    if parsed.errors:
        raise ConfigError(*(f"{path}:{error.line}: {error.text}" for error in parsed.errors))
    around = Surroundings(path.parent, state, _read, _resolve, _system_groups, Path.cwd())
    return translate(parsed, around, debug)


def write_state(loaded: OcservConfig) -> None:
    """Write the files that the translation makes, for the next start. Raises ``ConfigError``."""
    try:
        for name, content in loaded.translation.files.items():
            _write(loaded.state / name, content)
    except OSError as error:
        raise ConfigError(
            f"{error.filename or loaded.state}: {error.strerror}: name a folder with --state-dir"
        ) from error


def _write(path: Path, content: bytes) -> None:
    """Replaces the file as a whole."""
    for folder in reversed([path.parent, *path.parent.parents]):
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE), "wb") as stream:
        stream.write(content)
    new.rename(path)


def _validate(path: Path, state: Path, translation: Translation, debug: int | None) -> LoadedConfig:
    try:
        values = Config.model_validate(translation.document, context={"base": state})
    except ValidationError as error:
        raise ConfigError(*_problems(path, translation, error)) from error
    profile = translation.document["vpn"].get("profile")
    reads = (*translation.reads, *([Path(profile)] if profile else []))
    origins = {key: f"{path}:{entry.line}: {entry.key}" for key, entry in translation.origins.items()}
    return LoadedConfig(path, values, partial(_load_again, state=state, debug=debug), reads, origins)


def _load_again(path: Path, state: Path, debug: int | None) -> LoadedConfig:
    loaded = load_ocserv(path, state, debug)
    write_state(loaded)
    return loaded.config


def _problems(path: Path, translation: Translation, error: ValidationError) -> Iterator[str]:
    """Errors of the model, at the lines that they come from."""
    for problem in error.errors(include_url=False, include_context=False):
        parts = [part for part in problem["loc"] if isinstance(part, str)]
        reason = problem["msg"].removeprefix("Value error, ")
        while parts and ".".join(parts) not in translation.origins:
            parts.pop()
        entry = translation.origins.get(".".join(parts))
        where = f"{path}:{entry.line}: {entry.key}" if entry is not None else f"{path}"
        yield f"{where}: {reason[:1].lower()}{reason[1:]}"


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(MAX_FILE)


def _resolve(host: str) -> tuple[str, ...]:
    return tuple(str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))


def _system_groups() -> list[tuple[str, int]]:
    return [(group.gr_name, group.gr_gid) for group in grp.getgrall()]
