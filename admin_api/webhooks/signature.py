# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of deliveries (Standard Webhooks 1.0, "Signature scheme")."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "whsec_"
SECRET_BYTES = 32
MIN_SECRET, MAX_SECRET = 24, 64  # bytes that the standard allows


def make_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def render_secret(secret: bytes) -> str:
    """Returns the text that receivers are configured with."""
    return PREFIX + base64.b64encode(secret).decode()


def parse_secret(text: str) -> bytes:
    """Raises ``ValueError``."""
    try:
        secret = base64.b64decode(text.strip().removeprefix(PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if not MIN_SECRET <= len(secret) <= MAX_SECRET:
        raise ValueError(f"a secret is {PREFIX} and base64 of {MIN_SECRET} to {MAX_SECRET} bytes")
    return secret


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """Returns the headers of a delivery. ``timestamp``: Unix time of the attempt."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
