# SPDX-License-Identifier: GPL-3.0-or-later
"""The users file of liboath, ocserv's ``otp=``: lines of ``TYPE USER PIN SECRET [COUNTER …]``. Pure.

Types are ``HOTP`` and ``HOTP/E`` (by counter), ``HOTP/T30`` and ``HOTP/T60`` (by time), with ``/6``, ``/7`` or ``/8``
behind it for the digits. The PIN ``-`` is none. The secret is hexadecimal.
"""

from __future__ import annotations

import re

from sentry_engine.records import dataclass
from vpn_frontend.auth.totp.secret import OtpSecret

MAX_PROBLEMS = 8  # that are told of one file
MAX_SECRET = 128  # characters: 64 bytes, the block of HMAC-SHA-1
MAX_COUNTER = 2**63 - 64
FIELDS = 4
_TYPE = re.compile(r"HOTP(?:/(E|T([0-9]{1,4})))?(?:/([678]))?", re.ASCII)
NO_PIN = frozenset({"-", "+"})


@dataclass(frozen=True, slots=True)
class OathFile:
    """The secrets by user, and why lines are not used."""

    secrets: dict[str, OtpSecret]
    problems: tuple[str, ...] = ()


def parse_oath_file(data: bytes) -> OathFile:
    """Read a whole file. Of two lines with one user the first counts. Lines that cannot be used are reported."""
    secrets: dict[str, OtpSecret] = {}
    problems: list[str] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            found = _parse_line(line.decode())
        except ValueError as error:
            if len(problems) < MAX_PROBLEMS:
                problems.append(f"line {number}: {'not UTF-8' if isinstance(error, UnicodeDecodeError) else error}")
            continue
        if found is not None:
            secrets.setdefault(*found)
    return OathFile(secrets, tuple(problems))


def _parse_line(line: str) -> tuple[str, OtpSecret] | None:
    """``None`` for an empty line. Raises ``ValueError``, without the secret in its text."""
    fields = line.split()
    if not fields or fields[0].startswith("#"):
        return None
    if len(fields) < FIELDS:
        raise ValueError("not TYPE USER PIN SECRET")
    kind, user, pin, secret = fields[:FIELDS]
    known = _TYPE.fullmatch(kind)
    if known is None:
        raise ValueError(f"{kind[:40]!r} is none of HOTP, HOTP/E/6, HOTP/T30, HOTP/T30/6, HOTP/T60/8")
    period = int(known[2] or 0)
    if known[2] is not None and period == 0:
        raise ValueError("a period of 0 seconds")
    if len(secret) > MAX_SECRET:
        raise ValueError(f"a secret of more than {MAX_SECRET} digits")
    try:
        key = bytes.fromhex(secret)
    except ValueError:
        raise ValueError("the secret is not hexadecimal") from None
    counter = _read_counter(fields[FIELDS]) if len(fields) > FIELDS and not period else 0
    digits = int(known[3] or 6)
    return user, OtpSecret(key, period, digits, counter, "" if pin in NO_PIN else pin)


def _read_counter(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MAX_COUNTER):
        raise ValueError("the counter is no number")
    return int(text)
