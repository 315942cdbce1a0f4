# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of the policy's versions."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from admin_api.enforcement.policy.editor import MAX_CONFIRM_WITHIN
from admin_api.enforcement.policy.revisions import Outcome, RevisionAction, Source
from admin_api.http.values import NO_CONTROLS, Body, Document, Text, View
from admin_api.policy.differences import DifferenceKind

MAX_CANARY = 1000  # nodes
ConfirmWithin = Annotated[
    float | None,
    Field(
        ge=1,
        le=MAX_CONFIRM_WITHIN,
        allow_inf_nan=False,
        description="Seconds. Unless `POST /policy/confirm` comes within them, the policy is rolled back by itself.",
        examples=[60],
    ),
]
NodeName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_CONTROLS)]
Reason = Annotated[Text, Field(description="Why, for the version log.", examples=["Ticket 4711"])]


class PolicyApply(Body):
    """Without ``document`` the rule files on disk are put in force."""

    document: Document | None = Field(
        None, description="A rule document. Its rules replace all rules made over the API."
    )
    confirm_within: ConfirmWithin = None
    canary: list[NodeName] = Field(
        default_factory=list,
        max_length=MAX_CANARY,
        description="Names of nodes of a fleet. The policy is in force on these first: on all nodes with "
        "`POST /policy/confirm`, on none with `POST /policy/rollback` or after `confirm_within`, which it needs.",
        examples=[["n1"]],
    )
    reason: Reason = ""


class PolicyRollback(Body):
    version: int | None = Field(
        None, ge=1, description="Return to this version. Default: the one before.", examples=[12]
    )
    confirm_within: ConfirmWithin = None
    reason: Reason = ""


class PolicyApplied(View):
    version: int = Field(description="Number of the version in force.", examples=[13])
    rules: int = Field(description="Rules in the policy.", examples=[4])
    sessions_cut: int = Field(
        description="Live sessions that were disconnected; in a dry run, that would be.", examples=[0]
    )
    confirm_by: datetime | None = Field(
        description="Without a confirmation until then, the policy is rolled back.", examples=["2030-01-01T12:00:00Z"]
    )
    canary: list[str] = Field(
        description="The nodes that have it in force, if it is tried on some first. `version` is that of the others "
        "then, and `sessions_cut` counts those of the node that answers.",
        examples=[[]],
    )


class PolicyConfirmed(View):
    version: int = Field(description="The version that stays.", examples=[13])


class PolicyAnswerView(View):
    """What one node of a fleet has answered to a change of the policy."""

    node: str = Field(description="The name of the node.", examples=["n2"])
    ok: bool = Field(description="It has compiled the policy.", examples=[True])
    problems: list[str] = Field(description="Why it could not.", examples=[[]])


class VersionView(View):
    """One version of the policy: who changed it, when, how and why."""

    number: int = Field(examples=[13])
    at: datetime = Field(description="When it was put in force.", examples=["2030-01-01T11:59:00Z"])
    actor: str = Field(description="Who changed the policy.", examples=["ci#a1b2c3d4e5f6"])
    action: RevisionAction = Field(description="How it was changed.", examples=["applied"])
    reason: str = Field(description="Why, as the caller said.", examples=["Ticket 4711"])
    rules: int = Field(description="Rules in the policy.", examples=[4])
    confirm_by: datetime | None = Field(
        description="When it is, or was to be, rolled back unless confirmed.", examples=[None]
    )
    outcome: Outcome | None = Field(
        description="What became of it, if it had to be confirmed. Null: it waits.", examples=[None]
    )


class ListedVersion(VersionView):
    nodes: list[PolicyAnswerView] = Field(
        description="The nodes of a fleet that have compiled it before it was put in force on all of them. Empty: this "
        "server is no node, or the version came from files of one node.",
        examples=[[]],
    )


class PolicyDifference(View):
    """One rule or rule file that differs."""

    source: Source = Field(description="A rule of the API, or a rule file.", examples=["api"])
    name: str = Field(description="The rule's id, or the file's path.", examples=["no_tests"])
    kind: DifferenceKind = Field(examples=["changed"])
    before: dict[str, Any] | None = Field(
        description="The rule before. Null for a file.", examples=[{"id": "no_tests", "type": "blacklist"}]
    )
    after: dict[str, Any] | None = Field(
        description="The rule afterwards. Null for a file.", examples=[{"id": "no_tests", "type": "whitelist"}]
    )
    diff: str | None = Field(
        description="Unified diff. Null if a content is too large or not kept.", examples=["@@ -1 +1 @@\n-a\n+b\n"]
    )


class VersionDetail(ListedVersion):
    changes: list[PolicyDifference] = Field(description="What this version changed.")


class PolicyDiff(View):
    version: int = Field(description="Number of the version in force.", examples=[13])
    changes: list[PolicyDifference] = Field(description="Nothing: both are the same.")
