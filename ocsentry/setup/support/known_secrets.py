# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets of a server, to be masked wherever a log or an answer repeats them."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.configuration.fields import Section
from ocsentry.setup.support.shown_settings import hidden_texts

if TYPE_CHECKING:
    from ocsentry.configuration.model import LoadedConfig

FILE_KEYS = ("secret_file", "password_file", "key_file")  # ends of the keys that name a file with a secret
MAX_FILE = 64 * 1024  # bytes read of such a file
MIN_WORD = 4


def secrets_of(config: LoadedConfig) -> set[str]:
    """Returns the texts that the configuration hides, and what the files of its secrets hold."""
    return set(hidden_texts(config.values)) | {
        secret for path in _secret_files(config.values) for secret in _lines_of(path)
    }


def secrets_of_refused(path: Path) -> set[str]:
    """Likewise of a file that is not a valid configuration: every text in it, as far as it is TOML at all."""
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except (OSError, ValueError):
        return set(_lines_of(path))
    found: set[str] = set()
    for key, text in _texts(document, ""):
        found |= set(_lines_of(path.parent / text)) if key.endswith(FILE_KEYS) else {text}
    return found


def _secret_files(section: Section) -> Iterator[Path]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Path) and name.endswith(FILE_KEYS):
            yield value
        members = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else [value]
        for one in members:
            if isinstance(one, Section):
                yield from _secret_files(one)


def _texts(value: object, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _texts(one, name)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, key)


def _lines_of(path: Path) -> Iterator[str]:
    with contextlib.suppress(OSError), path.open("rb") as file:
        for line in file.read(MAX_FILE).decode("utf-8", "replace").splitlines():
            if len(line.strip()) >= MIN_WORD:
                yield line.strip()
