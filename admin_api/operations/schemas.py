# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of operations."""

from datetime import datetime
from typing import Any

from pydantic import Field

from admin_api.http.values import View
from admin_api.long_operations import OperationState


class OperationView(View):
    """Work that takes long."""

    id: str = Field(examples=["0193c5e0-0000-7000-8000-000000000000"])
    kind: str = Field(description="What it does.", examples=["blocks_import"])
    created_by: str = Field(description="Who started it.", examples=["ci#a1b2c3d4e5f6"])
    created_at: datetime = Field(examples=["2030-01-01T12:00:00Z"])
    state: OperationState = Field(examples=["running"])
    percent: float | None = Field(description="How much is done. Null: not known.", examples=[42.5])
    cancellable: bool = Field(description="`DELETE` cancels it while it runs.", examples=[True])
    finished_at: datetime | None = Field(examples=[None])
    result: dict[str, Any] | None = Field(
        description="The answer that the request would have got; of an import that ended early, what stays. "
        "Null: it runs, failed, or is another's that you may not read.",
        examples=[{"version": 13}],
    )
    error: str | None = Field(description="Why it failed. Null as `result` is.", examples=[None])
    error_code: str | None = Field(description="The problem's code.", examples=[None])
