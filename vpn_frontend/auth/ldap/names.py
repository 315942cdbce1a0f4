# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of users and groups as they come from a directory. Pure."""

from __future__ import annotations

import re

MAX_NAME = 64  # bytes
_ESCAPED = re.compile(rb"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)


def usable_name(value: bytes | str) -> str:
    """``value`` as a name of a user or group; empty: it is none (empty, too long, control characters, not UTF-8)."""
    try:
        text = (value.decode() if isinstance(value, bytes) else value).strip()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() and len(text.encode(errors="replace")) <= MAX_NAME else ""


def first_rdn_value(dn: str) -> str:
    """The value of the first relative name of ``dn`` (RFC 4514): ``staff`` of ``cn=staff,dc=example``; empty: none."""
    end = 0
    while end < len(dn) and dn[end] not in ",;+":
        end += 2 if dn[end] == "\\" else 1
    _, separator, value = dn[:end].partition("=")
    if not separator or value.startswith("#"):
        return ""
    return usable_name(_ESCAPED.sub(_unescape, value.strip().encode()))


def _unescape(found: re.Match[bytes]) -> bytes:
    escaped = found[1]
    return bytes.fromhex(escaped.decode()) if len(escaped) == 2 else escaped
