# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer to a removal with ``?dry_run=true``: what it would disconnect."""

from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field


class DryRunReport(BaseModel):
    sessions_cut: int = Field(
        description="Live sessions that the change disconnected; in a dry run, that it would.", examples=[2]
    )


DRY_RUN: dict[int | str, dict[str, Any]] = {200: {"model": DryRunReport, "description": "A dry run: nothing changed"}}


def dry_run_response(sessions_cut: int) -> JSONResponse:
    return JSONResponse(DryRunReport(sessions_cut=sessions_cut).model_dump())
