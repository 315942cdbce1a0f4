# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a reload names, and the start did not: the helper gives those that the configuration's file names.

The server that asks may have been taken over, but the configuration is the operator's. So the helper looks for the path
in that file itself. What has a private key goes to the signing process alone.
"""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.privileges.helper.answer import Answer, Refused
from ocsentry.privileges.reach import SHARED_BY_MANY

if TYPE_CHECKING:
    from ocsentry.privileges.helper.protocol import Document
    from ocsentry.privileges.helper.scope import Scope

MAX_LATE = 1024  # files, of all reloads
MAX_CONFIGURATION = 1 << 20  # bytes
PRIVATE_KEY = b"PRIVATE KEY-----"  # RFC 7468: PEM is the only form in which keys are read
COMMENT = (b"#", b";")
MAX_FOLDERS = 64
NEVER_REACHED = SHARED_BY_MANY | {Path("/", name) for name in ("boot", "dev", "proc", "sys", "var/log", "var/tmp")}
_PATHS = re.compile(rb"(?<![\w.@/:-])/[\w.@/+-]+")
BEFORE, AFTER = rb"(?:^|[\s\"'=\[,])", rb"(?:$|[\s\"'\],#])"


def name_file(scope: Scope, message: Document) -> Answer:
    """Takes one more file, by its ``path``; ``private``: for the signing process. The answer has its ``name``."""
    path, private = Path(str(message.get("path"))), message.get("private") is True
    if len(scope.late.plain) + len(scope.late.private) >= MAX_LATE:
        raise Refused("too many files were named since the start: restart the server")
    if not path.is_absolute() or not is_named(_read(scope.configuration), path, scope.configuration.parent):
        raise Refused(f"{path}: the configuration does not name it")
    taken = scope.late.private if private else scope.late.plain
    kept = {scope.files[one] for one in scope.private_files} | {*scope.late.private.values()}
    if not private and path in kept:
        raise Refused(f"{path}: the signing process alone reads this file (process.key_isolation)")
    name = next((name for name, known in taken.items() if known == path), f"late.{private:d}.{len(taken)}")
    taken[name] = path
    return Answer({"name": name})


def is_named(configuration: bytes, path: Path, base: Path) -> bool:
    """True if a line that is no comment has the path as a word, absolute or from ``base`` on."""
    forms = [path]
    if path.is_relative_to(base):
        forms.append(path.relative_to(base))
    words = b"|".join(rb"(?:\./)?" + re.escape(os.fsencode(form)) for form in forms)
    pattern = re.compile(BEFORE + rb"(?:" + words + rb")" + AFTER)
    lines = (line.strip() for line in configuration.splitlines())
    return any(pattern.search(line) for line in lines if not line.startswith(COMMENT))


def mentioned_folders(configuration: Path) -> tuple[Path, ...]:
    """The folders of files that the configuration mentions, in comments too: an operator may uncomment the line later.

    They widen what Landlock lets the helper read, not what it gives: ``name_file`` decides on that. A folder of many
    programs stays out of reach also by another name, such as ``/var/run`` for ``/run``.
    """
    try:
        words = _PATHS.findall(_read(configuration))
    except OSError:  # it is read by others, who say so
        return ()
    folders = dict.fromkeys(Path(os.fsdecode(word)).parent for word in words)
    found = (folder for folder in folders if folder.is_dir() and folder.resolve() not in NEVER_REACHED)
    return tuple(islice(found, MAX_FOLDERS))


def check_content(descriptor: int, path: Path, limit: int) -> None:
    """Refuses a late file with a private key. The descriptor is at its beginning again."""
    if PRIVATE_KEY in os.pread(descriptor, limit, 0):
        raise Refused(f"{path}: it has a private key, which the signing process alone reads")


def _read(configuration: Path) -> bytes:
    with configuration.open("rb") as file:
        return file.read(MAX_CONFIGURATION)
