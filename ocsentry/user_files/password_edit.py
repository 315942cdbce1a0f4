# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes ocserv's password file as ``ocpasswd`` does: same lines, same lock, one rename.

Lines of other users stay as they are, byte for byte. A line without a colon is dropped, as ``ocpasswd`` drops it.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from ocsentry.user_files.password_file import MAX_LINE
from vpn_frontend.auth.password.crypt_hash import make_crypt_hash

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ./"
SALT_SIZE = 16
MODE = 0o600  # of a new file
SEPARATORS = frozenset(":\n\r\0")


class PasswordEditError(OperatorError):
    """The file cannot be changed. The text says why."""


def set_password(path: Path, user: str, password: str, groups: str = "*") -> None:
    """Add the user, or give it a new password and ``groups``. A missing file is made."""
    salt = "".join(secrets.choice(ALPHABET) for _ in range(SALT_SIZE))
    fields = (user, groups or "*", make_crypt_hash(password, f"$5${salt}$"))
    for name, value in (("user name", user), ("groups", groups)):
        if SEPARATORS & set(value):
            raise PasswordEditError(f"the {name} must hold no colon and no line end")
    line = ":".join(fields).encode() + b"\n"
    if not user or len(line) > MAX_LINE:
        raise PasswordEditError(f"a line has a user name, and at most {MAX_LINE} bytes")
    _rewrite(path, user, lambda _: line, otherwise=line)


def delete_user(path: Path, user: str) -> None:
    """Remove the user. A user that the file does not have is no error."""
    _rewrite(path, user, lambda _: None)


def lock_user(path: Path, user: str) -> None:
    """Put ``!`` before the user's hash, unless it is there."""
    _rewrite(path, user, lambda line: _with_hash(line, lambda text: b"!" + text.removeprefix(b"!")))


def unlock_user(path: Path, user: str) -> None:
    """Take the ``!`` away."""
    _rewrite(path, user, lambda line: _with_hash(line, lambda text: text.removeprefix(b"!")))


def _with_hash(line: bytes, change: Callable[[bytes], bytes]) -> bytes | None:
    fields = line.split(b":", 2)
    return b":".join((*fields[:2], change(fields[2]))) if len(fields) == 3 else None


def _rewrite(path: Path, user: str, edit: Callable[[bytes], bytes | None], otherwise: bytes | None = None) -> None:
    """Raises ``PasswordEditError``; then the file is as it was."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    except FileExistsError:
        raise PasswordEditError(f"file '{path}' is locked.") from None
    except OSError:
        raise PasswordEditError(f"Cannot open '{temporary}' for writing.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_edited(path, user.encode(), edit, otherwise, descriptor))
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise PasswordEditError(f"Cannot write to '{path}'.") from error
        raise


def _edited(path: Path, user: bytes, edit: Callable[[bytes], bytes | None], otherwise: bytes | None, new: int) -> bytes:
    """The new content. The file ``new`` gets mode and owner of the present one."""
    try:
        with path.open("rb") as present:
            facts = os.fstat(present.fileno())
            os.fchmod(new, facts.st_mode & 0o777)
            with suppress(PermissionError):
                os.fchown(new, facts.st_uid, facts.st_gid)
            lines = [line + b"\n" for line in present.read().split(b"\n") if line]
    except OSError as error:
        if otherwise is not None and isinstance(error, FileNotFoundError):
            return otherwise
        raise PasswordEditError(f"Cannot open '{path}' for reading.") from None
    kept: list[bytes] = []
    found = False
    for line in lines:
        name, colon, _ = line.partition(b":")
        if not colon:
            continue
        changed: bytes | None = line
        if name == user:
            found = True
            changed = edit(line)
        kept += [] if changed is None else [changed]
    if not found and otherwise is not None:
        kept.append(otherwise)
    return b"".join(kept)
