# SPDX-License-Identifier: GPL-3.0-or-later
"""Time-based one-time passwords (RFC 6238) and backup codes, as values. Pure.

Codes are text: leading zeros and the length are part of them. HMAC-SHA-1, six digits and 30 seconds are what every
authenticator app knows; Google Authenticator ignores other parameters on some systems.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from urllib.parse import quote, urlencode

PERIOD = 30  # seconds of one step
DIGITS = 6
WINDOW = 1  # steps before and after the present one: clocks differ, and openconnect's second try is a step ahead
SECRET_SIZE = (
    20  # bytes, as RFC 4226 section 4 recommends; their base32 needs no padding, which openconnect 9.12 refuses
)
BACKUP_CODES = 10  # of one user
BACKUP_CHARACTERS = 8  # 40 bits, in base32
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def make_secret() -> bytes:
    return secrets.token_bytes(SECRET_SIZE)


def render_secret(secret: bytes) -> str:
    """The secret in base32 without padding, as apps and ``oathtool`` take it."""
    return base64.b32encode(secret).decode().rstrip("=")


def render_uri(secret: bytes, *, issuer: str, user: str) -> str:
    """The ``otpauth`` URI that an authenticator app reads from a QR code."""
    parameters = {"secret": render_secret(secret), "issuer": issuer, "algorithm": "SHA1", "digits": DIGITS}
    label = f"{quote(issuer, safe='')}:{quote(user, safe='')}"
    return f"otpauth://totp/{label}?{urlencode({**parameters, 'period': PERIOD}, quote_via=quote)}"


def code_at(secret: bytes, step: int, *, digits: int = DIGITS, algorithm: str = "sha1") -> str:
    """The code of one step (RFC 4226, section 5.3)."""
    mac = hmac.digest(secret, step.to_bytes(8, "big"), algorithm)
    offset = mac[-1] & 15
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**digits).zfill(digits)


def step_at(now: float) -> int:
    """The step of a Unix time."""
    return int(now // PERIOD)


def find_step(secret: bytes, code: str, now: float) -> int | None:
    """The step that ``code`` belongs to, within the window. ``None``: it is wrong.

    Compares with every step of the window, so the time does not tell which one it was. Of equal codes in the window
    the latest step counts: it is the last of them to be used.
    """
    found = None
    present = step_at(now)
    for step in range(present - WINDOW, present + WINDOW + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode(errors="replace")):
            found = step
    return found


def is_code(text: str) -> bool:
    return len(text) == DIGITS and text.isascii() and text.isdigit()


def make_backup_codes() -> tuple[str, ...]:
    """Codes for a user who has lost the device. They differ from each other, and by their length from other codes."""
    codes: set[str] = set()
    while len(codes) < BACKUP_CODES:
        codes.add("".join(secrets.choice(_BASE32) for _ in range(BACKUP_CHARACTERS)))
    return tuple(sorted(codes))


def read_backup_code(text: str) -> str | None:
    """The canonical spelling of what may be a backup code. ``None``: it cannot be one."""
    code = text.upper()
    return code if len(code) == BACKUP_CHARACTERS and set(code) <= set(_BASE32) else None


def clean_code(text: str) -> str:
    """What a user typed, without the blanks and hyphens between groups of characters."""
    return text.replace(" ", "").replace("-", "")
