# SPDX-License-Identifier: GPL-3.0-or-later
"""``/policy`` and ``/explain``."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import Body, Query, Response

from admin_api.dependencies import DecisionsRead, PolicyRead, PolicyWrite, ServicesOf
from admin_api.enforcement.api_rules import as_one_document, hide_logins
from admin_api.http.problems import ApiError, ProblemError, ProblemKind, invalid_value, policy_problems, responses
from admin_api.http.routing import resource_router
from admin_api.http.values import Document, Ip
from admin_api.policy.schemas import (
    ChangeView,
    ExplanationView,
    PolicyExport,
    PolicyReportView,
    PolicyView,
    ProblemView,
    SimulationView,
    VerdictView,
    WalkStepView,
)
from admin_api.policy.versions import etag_of_policy
from admin_api.services import Services
from sentry_engine import PolicyError, Verdict
from sentry_engine.engine.replay import Change, read_record
from vpn_frontend.settings import Address

router = resource_router("", tag="policy")

MAX_DOCUMENTS = 1000  # in one check
MAX_CHANGES = 200  # shown in one simulation

Documents = Annotated[
    Document | None,
    Body(
        description='A rule document, or {"documents": {name: rule document}}. Without a body: the present rule files.',
        examples=[as_one_document([])],
    ),
]


@router.get("/policy", responses=responses())
async def get_policy(_: PolicyRead, services: ServicesOf, response: Response) -> PolicyExport:
    """Get the policy in force with its ETag: its version, its files, and the rules made over the API."""
    async with services.store.read() as unit:
        rows = await unit.rules.read_all()
    response.headers["ETag"] = etag_of_policy(services.enforcement.version)
    view = PolicyView.model_validate(services.enforcement.status())
    return PolicyExport(**view.model_dump(), api_rules=as_one_document(hide_logins(row.document) for row in rows))


@router.post("/policy/check", responses=responses())
async def check_policy(_: PolicyRead, services: ServicesOf, body: Documents = None) -> PolicyReportView:
    """Check rules: errors, warnings, and how many sessions they would disconnect. Changes nothing."""
    documents = _documents(body)
    if documents is None:
        return PolicyReportView.model_validate(await services.enforcement.reload(dry_run=True))
    return PolicyReportView.model_validate(await services.enforcement.check(documents))


@router.post("/policy/simulate", responses=responses())
async def simulate_policy(
    _: PolicyRead, __: DecisionsRead, services: ServicesOf, body: Documents = None
) -> SimulationView:
    """Replay the latest verdicts (see ``/decisions``) and return those that these rules change. Changes nothing.

    Rates come out too low if verdicts are missing from the record; ``missed`` counts these. Verdicts of blocks are left
    out, because blocks do not depend on the policy.
    """
    read = (read_record(event.at.timestamp(), event.fields) for event in services.events.decisions())
    decisions = [decision for decision in read if decision is not None]
    report, changes = await services.enforcement.simulate(_documents(body), decisions)
    return SimulationView(
        valid=report.valid,
        problems=[ProblemView.model_validate(problem) for problem in report.problems],
        decisions=len(decisions),
        missed=sum(decision.missed for decision in decisions),
        changed=len(changes),
        changes=[_show_change(change) for change in changes[:MAX_CHANGES]],
    )


@router.post("/policy/reload", responses=responses(ProblemKind.INVALID_POLICY, ProblemKind.CONFIRMATION_PENDING))
async def reload_policy(
    caller: PolicyWrite,
    services: ServicesOf,
    dry_run: Annotated[bool, Query(description="Change nothing; report what the reload would do.")] = False,
) -> PolicyReportView:
    """Reload the rule files. An error in any of them changes nothing and is answered with 422.

    In a fleet each node reads the files of its own disk: they are in force on all live nodes, or on none.
    """
    report = await services.enforcement.reload(by=caller.name, dry_run=dry_run, everywhere=True)
    if not report.valid:
        raise policy_problems(PolicyError(report.problems))
    return PolicyReportView.model_validate(report)


@router.get("/explain", responses=responses())
async def explain_verdict(
    _: PolicyRead,
    services: ServicesOf,
    address: Ip,
    event: Annotated[str, Query(max_length=64, examples=["connect"])] = "connect",
    user: Annotated[str | None, Query(max_length=64)] = None,
) -> ExplanationView:
    """Explain the verdict that this source would get now, tier by tier. Counts no event.

    With a user, the rules about users apply too, with the user's groups.
    """
    record = None if user is None else await services.store.find(user)
    groups = () if record is None else record.groups
    return explain(services, address, event=event, user=user, groups=groups)


def explain(
    services: Services, address: Address, *, event: str = "connect", user: str | None = None, groups: Sequence[str] = ()
) -> ExplanationView:
    """Raises ``ApiError`` for an unknown event."""
    try:
        explanation = services.engine.explain(address, event=event, user=user, groups=groups)
    except ValueError as error:
        place = ProblemError(pointer="/event", detail=str(error), file="query")
        raise ApiError(ProblemKind.INVALID, str(error), errors=[place]) from None
    steps = [WalkStepView.model_validate(step) for step in explanation.steps]
    verdict = _show_verdict(explanation.verdict)
    return ExplanationView(
        address=address,
        event=explanation.event,
        verdict=verdict,
        steps=steps,
        dropped_by_kernel=services.kernel.drops(address),
    )


def _documents(body: dict[str, Any] | None) -> dict[str, Any] | None:
    """Returns the rule documents by name; ``None`` stands for the present rule files."""
    if body is None:
        return None
    documents = body["documents"] if set(body) == {"documents"} else {"document": body}
    if not isinstance(documents, dict) or len(documents) > MAX_DOCUMENTS:
        raise invalid_value("/documents", f"an object of at most {MAX_DOCUMENTS} rule documents by name")
    return documents


def _show_change(change: Change) -> ChangeView:
    return ChangeView(
        at=datetime.fromtimestamp(change.decision.at, UTC),
        address=ip_address(change.decision.address),
        event=change.decision.event,
        user=change.decision.user,
        before=_show_verdict(change.before),
        after=_show_verdict(change.after),
    )


def _show_verdict(verdict: Verdict) -> VerdictView:
    """Returns the verdict for JSON, which has no infinity: an endless penalty has no ``retry_after``."""
    endless = verdict.retry_after is None or math.isinf(verdict.retry_after)
    return VerdictView(
        action=verdict.action,
        reason=verdict.reason,
        rule_id=verdict.rule_id,
        retry_after=None if endless else verdict.retry_after,
    )
