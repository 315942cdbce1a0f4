# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads users from ocserv's password file: lines of ``name:groups:hash``.

Groups are separated by commas; ``*`` or empty text means none. A hash that begins with ``!`` belongs to a locked user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from vpn_frontend.auth.crypt_hash import is_crypt_hash
from vpn_frontend.auth.hash_cost import scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINES = 100_000
FIELDS = 3


class OcpasswdError(OperatorError):
    """A malformed line; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class OcpasswdUser:
    """A user with a crypt(3) hash."""

    name: str
    groups: tuple[str, ...]
    password_hash: str
    enabled: bool


def parse_ocpasswd(text: str) -> Iterator[OcpasswdUser]:
    """Yields the users of a file. Raises ``OcpasswdError`` at the first malformed line."""
    for number, line in enumerate(text.splitlines(), start=1):
        if number > MAX_LINES:
            raise OcpasswdError(f"line {number}: more than {MAX_LINES} lines")
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.strip().split(":")
        if len(fields) != FIELDS or not fields[0]:
            raise OcpasswdError(f"line {number}: not name:groups:hash")
        name, groups, password_hash = fields
        enabled = not password_hash.startswith("!")
        password_hash = password_hash.removeprefix("!")
        if not is_crypt_hash(password_hash) or scheme_of(password_hash) is None:
            raise OcpasswdError(
                f"line {number}: the hash of user {name!r} has an unsupported format, or costs too much to check"
            )
        members = tuple(group for group in groups.split(",") if group not in ("", "*"))
        yield OcpasswdUser(name, members, password_hash, enabled)
