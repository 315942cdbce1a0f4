# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of rules."""

from datetime import datetime
from typing import Any

from pydantic import Field

from admin_api.http.values import View


class RuleView(View):
    id: str
    source: str = Field(description="`api`, or `file` for a read-only rule of a rule file.", examples=["api"])
    file: str | None = None
    pointer: str | None = Field(None, description="JSON pointer into the file.")
    description: str
    document: dict[str, Any] = Field(
        description="The rule in the rule file format; long lists of networks are cut off."
    )
    hits: int = Field(description="Verdicts of this rule since the server's start.")
    expires_at: datetime | None
    created_by: str | None = None
    updated_at: datetime | None = None


class RuleChanged(RuleView):
    sessions_cut: int = Field(description="Live sessions that were disconnected; in a dry run, that would be.")
