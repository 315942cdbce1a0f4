# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy on the wire."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import Field, field_validator

from admin_api.http.values import Ip, View
from sentry_engine import Action, Finding, Reason
from sentry_engine.policy.lint import Kind as FindingKind


class ProblemView(View):
    """One error of a policy: file, JSON pointer, reason."""

    file: str
    pointer: str
    reason: str


class FindingView(View):
    """What is no error and deserves a look, or an example in a rule file that comes out otherwise."""

    kind: FindingKind
    rule_id: str
    file: str
    pointer: str
    text: str


class PolicyReportView(View):
    valid: bool
    at: datetime
    version: int = Field(description="of the policy in force")
    rules: int = Field(description="in the policy looked at")
    sessions_cut: int = Field(description="live sessions that were disconnected, or would be by what was only checked")
    problems: list[ProblemView]
    findings: list[FindingView] = Field(description="of a check: conflicts, rules without effect, failed examples")

    @field_validator("findings", mode="before")
    @classmethod
    def _flatten(cls, findings: Sequence[Finding]) -> list[dict[str, str]]:
        return [
            {"kind": f.kind, "rule_id": f.rule_id, "file": f.origin.file, "pointer": f.origin.pointer, "text": f.text}
            for f in findings
        ]


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


class ChangeView(View):
    at: datetime
    address: Ip
    event: str
    user: str | None
    before: VerdictView
    after: VerdictView


class SimulationView(View):
    valid: bool = Field(description="false: the rules have problems, and nothing was played")
    problems: list[ProblemView]
    decisions: int = Field(description="verdicts on record that were looked at")
    missed: int = Field(description="verdicts that a flood kept off the record meanwhile")
    changed: int
    changes: list[ChangeView] = Field(description="the first of them, oldest first")
