# SPDX-License-Identifier: GPL-3.0-or-later
"""What the enrolment of a user needs beside the store."""

from __future__ import annotations

from typing import Self

from admin_api.second_factors.secret_box import SecretBox
from sentry_engine.records import dataclass


@dataclass(frozen=True, slots=True)
class TotpIssuer:
    """``name`` is what authenticator apps show for this VPN."""

    box: SecretBox
    name: str

    @classmethod
    def with_key(cls, key: bytes | None, name: str) -> Self | None:
        """Returns ``None`` without a key."""
        return None if key is None else cls(SecretBox(key), name)
