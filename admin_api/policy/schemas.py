# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy on the wire."""

from datetime import datetime
from typing import Any

from pydantic import Field

from admin_api.values import Ip, View
from sentry_engine import Action, Reason


class ProblemView(View):
    """One error of a policy: file, JSON pointer, reason."""

    file: str
    pointer: str
    reason: str


class PolicyReportView(View):
    valid: bool
    at: datetime
    version: int = Field(description="of the policy in force")
    rules: int = Field(description="in the policy looked at")
    sessions_cut: int = Field(description="live sessions that were disconnected, or would be by what was only checked")
    problems: list[ProblemView]


class PolicyView(View):
    """What is in force, and what was refused since."""

    version: int
    loaded_at: datetime
    rules: int
    files: list[str]
    failure: PolicyReportView | None = Field(description="the last reload, if it failed")


class PolicyExport(PolicyView):
    api_rules: dict[str, Any] = Field(description="the rules made over the API as one rule document")


class VerdictView(View):
    action: Action
    reason: Reason
    rule_id: str | None
    retry_after: float | None = Field(description="seconds; null: time changes nothing, or there is no end")


class StepView(View):
    tier: str
    matched: str | None
    rule_id: str | None
    action: Action | None
    reason: Reason | None
    decisive: bool


class ExplanationView(View):
    address: Ip
    event: str
    verdict: VerdictView
    steps: list[StepView] = Field(description="the tiers in the order in which they are asked")
