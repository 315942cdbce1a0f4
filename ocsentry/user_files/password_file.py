# SPDX-License-Identifier: GPL-3.0-or-later
"""The password file of ocserv (``ocpasswd``): lines of ``name:groups:hash``. Pure.

Groups are separated by commas; ``*`` or empty text means none. A hash that begins with ``!`` belongs to a locked user.
``parse_password_file`` reads what a server works with and skips what it cannot use, as ocserv does.
``parse_for_import`` is for imports, and names all that it leaves out.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from admin_api.users.names import MAX_NAME, check_name
from ocsentry.errors import OperatorError
from sentry_engine.records import dataclass
from vpn_frontend.auth.password.crypt_hash import is_crypt_hash
from vpn_frontend.auth.password.hash_cost import scheme_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LINES = 100_000
MAX_LINE = 510  # bytes, of ocserv's buffer
MAX_PROBLEMS = 8  # that are told of one file; the others are counted
FIELDS = 3


class OcpasswdError(OperatorError):
    """A malformed line; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class OcpasswdUser:
    """A user with a crypt(3) hash. An empty hash: the user has no password."""

    name: str
    groups: tuple[str, ...]
    password_hash: str = field(repr=False)
    enabled: bool


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """The users of a file by name, and why lines of it are not used."""

    users: dict[str, OcpasswdUser]
    problems: tuple[str, ...] = ()


def parse_password_file(data: bytes) -> PasswordFile:
    """Read a whole file. Of two lines with one name the first counts. Malformed lines are skipped and reported."""
    users: dict[str, OcpasswdUser] = {}
    problems: list[str] = []
    left_out = 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            user = _parse_line(line) if line.strip() else None
        except OcpasswdError as error:
            if len(problems) < MAX_PROBLEMS:
                problems.append(f"line {number}: {error}")
            else:
                left_out += 1
            continue
        if user is not None:
            users.setdefault(user.name, user)
    if left_out:
        problems.append(f"{left_out} more lines that cannot be used")
    return PasswordFile(users, tuple(problems))


def _parse_line(line: bytes) -> OcpasswdUser:
    """Raises ``OcpasswdError``."""
    if len(line) > MAX_LINE:
        raise OcpasswdError(f"longer than {MAX_LINE} bytes")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise OcpasswdError("not UTF-8") from None
    fields = text.strip().split(":")
    if len(fields) != FIELDS or not fields[0] or "\0" in text:
        raise OcpasswdError("not name:groups:hash")
    name, groups, password_hash = fields
    enabled = not password_hash.startswith("!")
    password_hash = password_hash.removeprefix("!")
    if password_hash and not _is_usable(password_hash):
        raise OcpasswdError(f"the hash of user {name!r} has an unsupported format, or costs too much to check")
    return OcpasswdUser(name, _read_groups(groups), password_hash, enabled)


def _read_groups(text: str) -> tuple[str, ...]:
    members = (group.strip() for group in text.split(","))
    return tuple(dict.fromkeys(group for group in members if group not in ("", "*")))


def _is_usable(password_hash: str) -> bool:
    return is_crypt_hash(password_hash) and scheme_of(password_hash) is not None


def parse_for_import(data: bytes) -> PasswordFile:
    """Read a whole file for a store of users: ``problems`` names the line and user of everything that is left out.

    A store compares names without regard to case, and has no users without a password.
    """
    users: dict[str, OcpasswdUser] = {}
    lines: dict[str, int] = {}
    problems: list[str] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if number > MAX_LINES:
            problems.append(f"line {number}: more than {MAX_LINES} lines")
            break
        if not line.strip() or line.startswith(b"#"):
            continue
        try:
            user = _parse_line(line)
            _check_importable(user, lines)
        except OcpasswdError as error:
            problems.append(f"line {number}: {error}")
            continue
        users[user.name] = user
        lines[user.name.casefold()] = number
    return PasswordFile(users, tuple(problems))


def _check_importable(user: OcpasswdUser, lines: Mapping[str, int]) -> None:
    """Raises ``OcpasswdError``."""
    if not user.password_hash:
        raise OcpasswdError(f"user {user.name!r} has no password")
    if (first := lines.get(user.name.casefold())) is not None:
        raise OcpasswdError(f"user {user.name!r} is in line {first} already")
    if len(user.name) > MAX_NAME:
        raise OcpasswdError(f"user {user.name!r}: the name has more than {MAX_NAME} characters")
    try:
        check_name(user.name)
    except ValueError as error:
        raise OcpasswdError(f"user {user.name!r}: {error}") from None
