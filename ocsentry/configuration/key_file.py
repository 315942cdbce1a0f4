# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a secret key: 64 hexadecimal digits, readable by its owner only.

The key is apart from the database that holds what it encrypts: a copy of one without the other is of no use.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

KEY_SIZE = 32  # bytes
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyFileError(OperatorError):
    """The file cannot be used; the text names it and says what to do."""


def read_key(path: Path) -> bytes | None:
    """Returns the key; ``None`` without a file. Raises ``KeyFileError``, also if others may read the file."""
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            text = stream.read(2 * KEY_SIZE + 2)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from error
    if mode & OTHERS:
        raise KeyFileError(f"{path}: others than its owner have rights on it: chmod 600 {path}")
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_SIZE:
        raise KeyFileError(f"{path}: not a key of {2 * KEY_SIZE} hexadecimal digits")
    return key


def make_key(path: Path, *, owner: tuple[int, int] | None = None) -> bytes:
    """Returns the key of the file, made now if there is none. ``owner``: uid and gid of a new file.

    Without ``owner``, root gives it to the owner of the folder: the server's user has to read it.

    The file appears whole or not at all, and of two processes that make it both get one key. Raises ``KeyFileError``.
    """
    if (key := read_key(path)) is not None:
        return key
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w") as stream:
                if owner is None and os.geteuid() == 0:
                    folder = path.parent.stat()
                    owner = folder.st_uid, folder.st_gid
                if owner is not None:
                    os.fchown(stream.fileno(), *owner)
                stream.write(secrets.token_hex(KEY_SIZE) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            with suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be made: {error.strerror}") from error
    made = read_key(path)
    if made is None:
        raise KeyFileError(f"{path}: was removed while it was made")
    return made
