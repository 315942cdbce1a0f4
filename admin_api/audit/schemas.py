# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of audit rows."""

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
    digest: str = Field(description="SHA-256 of the previous digest and this row, in hexadecimal.")


class ChainView(View):
    intact: bool
    first_broken: int | None = Field(description="The serial of the first altered or missing row.")
