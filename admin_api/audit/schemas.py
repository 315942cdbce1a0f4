# SPDX-License-Identifier: GPL-3.0-or-later
"""Audit rows on the wire."""

from datetime import datetime
from typing import Any

from pydantic import Field

from admin_api.http.values import View


class AuditView(View):
    serial: int
    at: datetime
    actor: str
    action: str
    target: str
    detail: dict[str, Any]
    digest: str = Field(description="SHA-256 over the row and the digest before it, in hexadecimal")


class ChainView(View):
    intact: bool
    first_broken: int | None = Field(description="the serial of the first row that was altered, or is missing")
