# SPDX-License-Identifier: GPL-3.0-or-later
"""``/policy/versions``, ``diff``, ``apply``, ``confirm`` and ``rollback``."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Body, Query, Response

from admin_api.dependencies import DryRun, Force, OwnAddresses, PolicyRead, PolicyWrite, ServicesOf
from admin_api.enforcement.api_rules import hide_logins, resolve_ttl
from admin_api.enforcement.policy.changes import Application
from admin_api.enforcement.policy.revisions import RevisionAction
from admin_api.http.conditions import IfMatch
from admin_api.http.etags import etag_of_version, expect_unchanged
from admin_api.http.lists.paging import Page, PagingQuery, keyed
from admin_api.http.problems import ApiError, ProblemKind, invalid_value, responses
from admin_api.http.routing import resource_router
from admin_api.http.values import Document
from admin_api.policy.differences import Difference, compare_files, compare_rules, read_changes
from admin_api.policy.version_schemas import (
    ListedVersion,
    PolicyAnswerView,
    PolicyApplied,
    PolicyApply,
    PolicyConfirmed,
    PolicyDiff,
    PolicyDifference,
    PolicyRollback,
    VersionDetail,
    VersionView,
)
from admin_api.services import Services
from admin_api.store.tables import PolicyRevision

router = resource_router("/policy", tag="policy")

CHANGING = (
    ProblemKind.PRECONDITION_REQUIRED,
    ProblemKind.STALE,
    ProblemKind.CONFIRMATION_PENDING,
    ProblemKind.CONTENT_NOT_KEPT,
    ProblemKind.TABLE_FULL,
    ProblemKind.SELF_LOCKOUT,
    ProblemKind.NEEDS_FORCE,
    ProblemKind.INVALID_POLICY,
)


@router.get("/versions", responses=responses())
async def list_policy_versions(
    _: PolicyRead,
    services: ServicesOf,
    paging: PagingQuery,
    actor: Annotated[str | None, Query(max_length=200, description="Only versions by this caller.")] = None,
    action: Annotated[RevisionAction | None, Query(description="Only versions of this kind.")] = None,
    sort: Annotated[Literal["number", "-number"], Query(description="`number`: oldest first.")] = "-number",
) -> Page[ListedVersion]:
    """List the versions of the policy, newest first or as ``sort`` says: who changed it, when, how and why."""
    past, rising = paging.past_number(sort), sort == "number"
    async with services.store.read() as unit:
        rows = await unit.revisions.page(past=past, limit=paging.fetch, actor=actor, action=action, rising=rising)
    answers = await _answers_of(services, [row.number for row in rows])
    return paging.page(rows, lambda row: _show_version(row, answers), lambda row: keyed(sort, row.number))


@router.get("/versions/{number}", responses=responses(ProblemKind.NOT_FOUND))
async def get_policy_version(number: int, _: PolicyRead, services: ServicesOf) -> VersionDetail:
    """Get one version with what it changed."""
    async with services.store.read() as unit:
        row = await unit.revisions.get(number) if 0 < number < 2**31 else None
        if row is None:
            raise ApiError(ProblemKind.NOT_FOUND, f"There is no version {number}")
        compare = await read_changes(unit, after=number - 1, until=number)
    changes = [PolicyDifference.model_validate(one) for one in await asyncio.to_thread(compare)]
    listed = _show_version(row, await _answers_of(services, [number]))
    return VersionDetail(**listed.model_dump(), changes=changes)


Version = Annotated[int | None, Query(ge=1, lt=2**31)]


@router.post("/diff", responses=responses(ProblemKind.NOT_FOUND, ProblemKind.INVALID_POLICY))
async def diff_policy(
    _: PolicyRead,
    services: ServicesOf,
    document: Annotated[
        Document | None, Body(description="A rule document, to be compared with the rules of the API.")
    ] = None,
    since: Annotated[Version, Query(description="Compare this version with `until`.", examples=[11])] = None,
    until: Annotated[Version, Query(description="Default: the version in force.", examples=[12])] = None,
) -> PolicyDiff:
    """Show what differs. Changes nothing.

    With a document: what applying it would change. With `since`: what changed from that version on. Otherwise: the rule
    files on disk against those in force.
    """
    enforcement = services.enforcement
    compare: Callable[[], list[Difference]]
    if document is not None:
        async with services.store.read() as unit:
            present = {row.id: hide_logins(row.document) for row in await unit.rules.read_all()}
        compare = partial(compare_rules, present, _rules_of(services, document, ""))
    elif since is not None:
        async with services.store.read() as unit:
            for number in (since, until):
                if number is not None and await unit.revisions.get(number) is None:
                    raise ApiError(ProblemKind.NOT_FOUND, f"There is no version {number}")
            compare = await read_changes(unit, after=since, until=until or enforcement.version)
    else:
        compare = partial(compare_files, *await enforcement.compare_disk())
    changes = [PolicyDifference.model_validate(one) for one in await asyncio.to_thread(compare)]
    return PolicyDiff(version=enforcement.version, changes=changes)


@router.post("/apply", responses=responses(*CHANGING))
async def apply_policy(
    body: PolicyApply,
    caller: PolicyWrite,
    services: ServicesOf,
    own: OwnAddresses,
    response: Response,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    force: Force = False,
) -> PolicyApplied:
    """Put a policy in force: the rules of a document, or the rule files on disk.

    A document needs If-Match with the ETag of `GET /policy`: its rules replace all rules made over the API. With
    `confirm_within` the policy is rolled back by itself unless it is confirmed, and may lock you out until then. With
    `canary` it is in force on some nodes of a fleet until then, and on the others once it is confirmed.
    """
    rules = None if body.document is None else _rules_of(services, body.document, "/document")
    application = Application(
        by=caller.name,
        rules=rules,
        reason=body.reason,
        confirm_within=body.confirm_within,
        canary=body.canary,
        dry_run=dry_run,
        force=force,
        own=own,
        expect=_expectation(if_match, required=rules is not None),
    )
    report = await services.enforcement.editor.apply(application)
    response.headers["ETag"] = etag_of_policy(report.version)
    return PolicyApplied.model_validate(report)


@router.post("/confirm", responses=responses(ProblemKind.NOTHING_TO_CONFIRM))
async def confirm_policy(caller: PolicyWrite, services: ServicesOf) -> PolicyConfirmed:
    """Keep the policy that waits to be confirmed."""
    return PolicyConfirmed(version=await services.enforcement.editor.confirm(caller.name))


@router.post("/rollback", responses=responses(ProblemKind.NOT_FOUND, *CHANGING))
async def rollback_policy(
    caller: PolicyWrite,
    services: ServicesOf,
    own: OwnAddresses,
    response: Response,
    body: PolicyRollback = PolicyRollback(),  # noqa: B008 - never changed
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    force: Force = False,
) -> PolicyApplied:
    """Return to an earlier version, which becomes a new version. Its rule files are in force again.

    While a policy is tried on some nodes of a fleet (`canary`), that one is withdrawn instead.

    The server does not write rule files. One that differs on disk is held (see `held` of `GET /policy`), until it
    changes again, or the files are reloaded or applied.
    """
    application = Application(
        by=caller.name,
        version=body.version,
        reason=body.reason,
        confirm_within=body.confirm_within,
        dry_run=dry_run,
        force=force,
        own=own,
        expect=_expectation(if_match, required=False),
    )
    report = await services.enforcement.editor.roll_back(application)
    response.headers["ETag"] = etag_of_policy(report.version)
    return PolicyApplied.model_validate(report)


Answers = Mapping[int, list[PolicyAnswerView]]


async def _answers_of(services: Services, numbers: Sequence[int]) -> Answers:
    if services.fleet is None:
        return {}
    from admin_api.fleet.policy.answers import answers_of  # noqa: PLC0415 - loads the driver of PostgreSQL

    found = await answers_of(services.store, numbers)
    return {number: [PolicyAnswerView.model_validate(one) for one in answers] for number, answers in found.items()}


def _show_version(row: PolicyRevision, answers: Answers) -> ListedVersion:
    return ListedVersion(**VersionView.model_validate(row).model_dump(), nodes=answers.get(row.number, []))


def etag_of_policy(version: int) -> str:
    return etag_of_version("policy", version)


def _expectation(if_match: str | None, *, required: bool) -> Callable[[int], None]:
    def expect(version: int) -> None:
        if required or if_match is not None:
            expect_unchanged(if_match, etag_of_policy(version), f"the policy, now version {version}")

    return expect


def _rules_of(services: Services, document: Mapping[str, Any], pointer: str) -> dict[str, dict[str, Any]]:
    """Returns the rules of a rule document by id. Raises ``ApiError`` for one that has more than rules."""
    sentry = document.get("wolfsentry")
    if not isinstance(sentry, dict) or set(document) != {"wolfsentry"}:
        raise invalid_value(f"{pointer}/wolfsentry", "a rule document has this key, and no other")
    further = sorted(set(sentry) - {"version", "rules"})
    if further:
        raise invalid_value(f"{pointer}/wolfsentry/{further[0]}", "only rules can be applied; write a rule file")
    rules = sentry.get("rules", [])
    if not isinstance(rules, list):
        raise invalid_value(f"{pointer}/wolfsentry/rules", "a list of rules")
    found: dict[str, dict[str, Any]] = {}
    now = services.clock.wall()
    for index, rule in enumerate(rules):
        place = f"{pointer}/wolfsentry/rules/{index}"
        rule_id = rule.get("id") if isinstance(rule, dict) else None
        if not isinstance(rule_id, str):
            raise invalid_value(f"{place}/id", "a rule needs an id")
        if rule_id in found:
            raise invalid_value(f"{place}/id", f"the id {rule_id!r} is used twice")
        found[rule_id] = resolve_ttl(rule, now)
    return found
