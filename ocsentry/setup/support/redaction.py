# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks secrets in text: those that are known, and what has the form of a password, a key, a token or a cookie."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "********"
MIN_LENGTH = 4  # of a known secret; a shorter one would mask ordinary words

_FORMS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\$(?:argon2\w*|2[abxy]|[156y]|gy|7|sha1|md5)\$[^\s:\"'\\]+"),  # hashes of passwords (crypt(5), argon2)
    re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]+"),
    re.compile(r"\bocs_[0-9a-f]{12}_[0-9a-f]{64}\b"),
    re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"),  # JWT (RFC 7519)
    re.compile(r"(?<=://)[^/\s@]*:[^/\s@]*(?=@)"),  # user and password of a URL
    re.compile(r"(?i)(?<=\bbearer )[\w.~+/=-]+"),
    re.compile(r"(?i)(?<=\bbasic )[\w+/]{6,}={0,2}"),
    re.compile(r"(?i)(?<=otpauth://)\S+"),
    re.compile(r"(?i)(?<=cookie: )[^\r\n\"']+"),
    re.compile(r"(?i)(?<=\bwebvpn=)[^\s;\"'\\]+"),
)
# `password=...`, `"secret": "..."`. Names such as `secret_file` and paths such as `/etc/x.secret` are none.
_NAMED = re.compile(
    r"(?i)((?<![\w./-])[\w.-]*(?:password|passwd|passphrase|secret|api_?key)\b[\"']?\s*[=:]\s*)"
    r"(\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s\"',;{}\[\]]+)"
)


class Redactor:
    """Masks ``known`` secrets wherever they stand, and everything that has the form of a secret."""

    def __init__(self, known: Iterable[str]) -> None:
        words = {form for secret in known if len(secret) >= MIN_LENGTH for form in _spellings(secret)}
        longest_first = sorted(words, key=lambda word: (-len(word), word))
        self._known = re.compile("|".join(map(re.escape, longest_first))) if words else None

    def clean(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for form in _FORMS:
            text = form.sub(MASK, text)
        return _NAMED.sub(lambda found: f"{found[1]}{_masked(found[2])}", text)


def _spellings(secret: str) -> set[str]:
    """The secret as it stands in text, in JSON and in a URL."""
    in_json = {json.dumps(secret, ensure_ascii=ascii)[1:-1] for ascii in (True, False)}  # noqa: A001
    return {secret, quote(secret, safe=""), quote(secret), repr(secret)[1:-1]} | in_json


def _masked(value: str) -> str:
    """A mask that keeps the quotes: JSON stays JSON."""
    return f"{value[0]}{MASK}{value[0]}" if value[0] in "\"'" else MASK
