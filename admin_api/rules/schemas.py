# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on the wire."""

from datetime import datetime
from typing import Any

from pydantic import Field

from admin_api.http.values import View


class RuleView(View):
    id: str
    source: str = Field(description="api, or file: then it is changed in the file", examples=["api"])
    file: str | None = None
    pointer: str | None = Field(None, description="JSON pointer into the file")
    description: str
    document: dict[str, Any] = Field(description="the rule in the rule files' format; of long lists, the beginning")
    hits: int = Field(description="verdicts that it gave since the server's start")
    expires_at: datetime | None
    created_by: str | None = None
    updated_at: datetime | None = None


class RuleChanged(RuleView):
    sessions_cut: int = Field(description="live sessions that were disconnected, or would be for a dry run")
