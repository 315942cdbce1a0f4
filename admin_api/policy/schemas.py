# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of the policy."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import Field, field_validator

from admin_api.http.values import Ip, View
from sentry_engine import Action, Finding, Reason
from sentry_engine.policy.lint import FindingKind


class ProblemView(View):
    """One error of a policy, with its location."""

    file: str
    pointer: str
    reason: str


class FindingView(View):
    """A warning about a valid policy, or a failed test of a rule file."""

    kind: FindingKind
    rule_id: str
    file: str
    pointer: str
    text: str


class PolicyReportView(View):
    valid: bool
    at: datetime
    version: int = Field(description="Version of the policy in force.")
    rules: int = Field(description="Rules in the policy that was read.")
    sessions_cut: int = Field(description="Live sessions that were disconnected; in a check or dry run, that would be.")
    problems: list[ProblemView]
    findings: list[FindingView] = Field(
        description="Warnings of a check: conflicts, rules without effect, failed tests."
    )

    @field_validator("findings", mode="before")
    @classmethod
    def _flatten(cls, findings: Sequence[Finding]) -> list[dict[str, str]]:
        return [
            {"kind": f.kind, "rule_id": f.rule_id, "file": f.origin.file, "pointer": f.origin.pointer, "text": f.text}
            for f in findings
        ]


class PolicyView(View):
    """The policy in force, and the last reload if it failed."""

    version: int
    loaded_at: datetime
    rules: int
    files: list[str]
    failure: PolicyReportView | None = Field(description="The last reload, if it failed.")
    held: list[str] = Field(description="Rule files that differ on disk since a rollback and are not in force.")
    confirm_by: datetime | None = Field(description="When this version is rolled back unless it is confirmed.")
    changed_files: bool = Field(
        description="Rule files changed while a version waits to be confirmed; they are loaded after that."
    )


class PolicyExport(PolicyView):
    api_rules: dict[str, Any] = Field(description="The rules made over the API, as one rule document.")


class VerdictView(View):
    action: Action
    reason: Reason
    rule_id: str | None
    retry_after: float | None = Field(description="Seconds. Null: waiting changes nothing, or the penalty has no end.")


class WalkStepView(View):
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
    steps: list[WalkStepView] = Field(description="The tiers in order of evaluation.")
    dropped_by_kernel: bool = Field(
        description="True: the kernel drops new connections from this address, and the server does not see them."
    )


class ChangeView(View):
    at: datetime
    address: Ip
    event: str
    user: str | None
    before: VerdictView
    after: VerdictView


class SimulationView(View):
    valid: bool = Field(description="False: the rules have problems, and nothing was replayed.")
    problems: list[ProblemView]
    decisions: int = Field(description="Recorded verdicts that were replayed.")
    missed: int = Field(description="Verdicts that the rate limit of the record left out.")
    changed: int
    changes: list[ChangeView] = Field(description="The first changed verdicts, oldest first.")
