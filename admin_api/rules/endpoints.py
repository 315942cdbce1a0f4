# SPDX-License-Identifier: GPL-3.0-or-later
"""``/rules``.

A rule made over the API is stored in the database and compiled with the rule files. Its id must be in none of them.
Changing one needs If-Match with its ETag, so that two operators cannot overwrite each other's change.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Body, Query, Response, status

from admin_api.dependencies import DryRun, Force, OwnAddresses, Reason, RulesRead, RulesWrite, ServicesOf
from admin_api.enforcement.api_rules import (
    ListedRule,
    RuleChange,
    etag_of,
    etag_of_rule,
    hide_logins,
    parse_end,
    resolve_ttl,
    view_stored_rule,
)
from admin_api.http.conditions import CONDITIONAL, IfMatch, IfNoneMatch, MergePatch, apply_merge_patch
from admin_api.http.dry_run import DRY_RUN, dry_run_response
from admin_api.http.etags import find_unchanged, names_etag
from admin_api.http.lists.paging import Page, PagingQuery, bad_cursor
from admin_api.http.lists.sorting import sorted_page
from admin_api.http.path_segments import BY_RULE_ID
from admin_api.http.paths import API_PREFIX
from admin_api.http.problems import ApiError, ProblemKind, invalid_value, responses
from admin_api.http.routing import resource_router
from admin_api.http.values import NO_CONTROLS, Document
from admin_api.rules.schemas import RuleChanged, RuleView
from admin_api.services import Services
from admin_api.store.tables import Rule

router = resource_router("/rules", tag="rules")
CHANGING = (
    *CONDITIONAL,
    ProblemKind.FROM_FILE,
    ProblemKind.INVALID_POLICY,
    ProblemKind.SELF_LOCKOUT,
    ProblemKind.NEEDS_FORCE,
    ProblemKind.CONFIRMATION_PENDING,
)

RuleHandle = tuple[str, Callable[[], ListedRule]]  # id, and what makes the view
RuleBody = Annotated[
    Document,
    Body(
        description="A rule in the rule file format.",
        examples=[{"id": "no_tests", "type": "blacklist", "remote_addr": "198.51.100.0/24"}],
    ),
]


@router.get("", responses=responses())
async def list_rules(
    _: RulesRead,
    services: ServicesOf,
    paging: PagingQuery,
    source: Annotated[Literal["api", "file"] | None, Query(description="Only those of this source.")] = None,
    sort: Annotated[Literal["id", "-id", "hits", "-hits"], Query(description="`-`: falling.")] = "id",
) -> Page[RuleView]:
    """List the rules of the files and of the API, by id or as ``sort`` says."""
    listing, policy = services.rule_listing, services.enforcement.policy
    hits = services.engine.rule_hits()
    if sort == "id" and source is None:
        if paging.after is not None and paging.after.startswith("["):  # of another order
            raise bad_cursor()
        rows = await listing.list_rules(policy, after=paging.after, limit=paging.fetch)
        return paging.page(rows, lambda row: _show(row, hits), lambda row: row.id)
    found = await listing.all_rules(policy, source)
    keys: dict[str, Callable[[RuleHandle], str | float]] = {
        "id": lambda handle: handle[0],
        "hits": lambda handle: hits.get(handle[0], 0),
    }
    return await asyncio.to_thread(
        sorted_page, paging, found, sort, keys, lambda handle: handle[0], lambda handle: _show(handle[1](), hits)
    )


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses=responses(
        ProblemKind.ALREADY_EXISTS,
        ProblemKind.INVALID_POLICY,
        ProblemKind.TABLE_FULL,
        ProblemKind.SELF_LOCKOUT,
        ProblemKind.NEEDS_FORCE,
        ProblemKind.CONFIRMATION_PENDING,
    )
    | {200: {"model": RuleChanged, "description": "A dry run: nothing changed"}},
)
async def create_rule(
    body: RuleBody,
    caller: RulesWrite,
    services: ServicesOf,
    own: OwnAddresses,
    response: Response,
    dry_run: DryRun = False,
    force: Force = False,
    reason: Reason = "",
) -> RuleChanged:
    """Add a rule. It is in force before the answer."""
    rule_id = body.get("id")
    if not isinstance(rule_id, str):
        raise invalid_value("/id", "a rule needs an id")
    _check_description(body)

    def expect(row: Rule | None) -> None:
        if row is not None or services.rule_listing.find_file_rule(services.enforcement.policy, rule_id) is not None:
            raise ApiError(ProblemKind.ALREADY_EXISTS, f"There is a rule {rule_id} already")

    response.headers["Location"] = f"{API_PREFIX}/rules/{quote(rule_id, safe='/:@')}"
    document = resolve_ttl(body, services.clock.wall())
    change = RuleChange(rule_id, document, caller.name, expect, dry_run=dry_run, own=own, force=force, reason=reason)
    return await _save(services, change, response)


@router.get(
    BY_RULE_ID,
    responses=responses(ProblemKind.NOT_FOUND) | {304: {"description": "Not modified since If-None-Match"}},
)
async def get_rule(
    rule_id: str, _: RulesRead, services: ServicesOf, response: Response, if_none_match: IfNoneMatch = None
) -> RuleView:
    """Get one rule with its ETag; 304 without a body if it matches If-None-Match."""
    rule = await services.rule_listing.find_rule(services.enforcement.policy, rule_id)
    if rule is None:
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no rule {rule_id}")
    response.headers["ETag"] = rule.etag
    if if_none_match is not None and names_etag(if_none_match, rule.etag):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers={"ETag": rule.etag})  # type: ignore[return-value]
    return _show(rule, services.engine.rule_hits())


@router.put(
    BY_RULE_ID,
    responses=responses(*CHANGING),
)
async def replace_rule(
    rule_id: str,
    body: RuleBody,
    caller: RulesWrite,
    services: ServicesOf,
    own: OwnAddresses,
    response: Response,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    force: Force = False,
    reason: Reason = "",
) -> RuleChanged:
    """Replace a rule made over the API. It is in force before the answer. Needs If-Match."""
    if body.setdefault("id", rule_id) != rule_id:
        raise invalid_value("/id", f"the id differs from the one in the path, {rule_id}")
    _check_description(body)
    expect = _expect_unchanged(services, rule_id, if_match)
    document = resolve_ttl(body, services.clock.wall())
    change = RuleChange(rule_id, document, caller.name, expect, dry_run=dry_run, own=own, force=force, reason=reason)
    return await _save(services, change, response)


@router.patch(BY_RULE_ID, responses=responses(*CHANGING))
async def change_rule(
    rule_id: str,
    patch: MergePatch,
    caller: RulesWrite,
    services: ServicesOf,
    own: OwnAddresses,
    response: Response,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    force: Force = False,
    reason: Reason = "",
) -> RuleChanged:
    """Change what the merge patch names. It is in force before the answer. Needs If-Match."""

    def merge(row: Rule | None) -> dict[str, Any]:
        document: dict[str, Any] = apply_merge_patch({} if row is None else hide_logins(row.document), patch)
        if document.setdefault("id", rule_id) != rule_id:
            raise invalid_value("/id", f"the id differs from the one in the path, {rule_id}")
        _check_description(document)
        return resolve_ttl(document, services.clock.wall())

    expect = _expect_unchanged(services, rule_id, if_match)
    change = RuleChange(rule_id, {}, caller.name, expect, merge, dry_run=dry_run, own=own, force=force, reason=reason)
    return await _save(services, change, response)


@router.delete(
    BY_RULE_ID,
    status_code=status.HTTP_204_NO_CONTENT,
    response_model=None,
    responses=responses(*CHANGING) | DRY_RUN,
)
async def delete_rule(
    rule_id: str,
    caller: RulesWrite,
    services: ServicesOf,
    own: OwnAddresses,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    force: Force = False,
    reason: Reason = "",
) -> Response | None:
    """Remove a rule made over the API. Needs If-Match."""
    expect = _expect_unchanged(services, rule_id, if_match)
    change = RuleChange(rule_id, None, caller.name, expect, dry_run=dry_run, own=own, force=force, reason=reason)
    saved = await services.enforcement.change_rule(change)
    return dry_run_response(saved.sessions_cut) if dry_run else None


def _check_description(document: dict[str, Any]) -> None:
    """Raises ``ApiError``. Rule files may have lines in a description; what is no text the loader reports."""
    description = document.get("description")
    if isinstance(description, str) and re.match(NO_CONTROLS, description) is None:
        raise invalid_value("/description", "control characters and marks of writing direction are not allowed")


async def _save(services: Services, change: RuleChange, response: Response) -> RuleChanged:
    saved = await services.enforcement.change_rule(change)
    if change.dry_run:
        response.status_code = status.HTTP_200_OK
        del response.headers["Location"]
        document = saved.document or {}
        ends = parse_end(document.get("expires_at"))
        description = str(document.get("description", ""))
        unsaved = ListedRule(change.id, "api", etag_of(document), description, ends, hide_logins(document))
        return RuleChanged(**asdict(unsaved), hits=0, sessions_cut=saved.sessions_cut)
    assert saved.row is not None  # noqa: S101 - only a removal has none
    view = view_stored_rule(saved.row)
    response.headers["ETag"] = view.etag
    hits = services.engine.rule_hits().get(change.id, 0)
    return RuleChanged(**asdict(view), hits=hits, sessions_cut=saved.sessions_cut)


def _expect_unchanged(services: Services, rule_id: str, if_match: str | None) -> Callable[[Rule | None], None]:
    def expect(row: Rule | None) -> None:
        if row is None and (in_file := services.rule_listing.find_file_rule(services.enforcement.policy, rule_id)):
            raise ApiError(ProblemKind.FROM_FILE, f"{rule_id} is a rule of {in_file.file}")
        find_unchanged(row, etag_of_rule, if_match, f"rule {rule_id}")

    return expect


def _show(rule: ListedRule, hits: dict[str, int]) -> RuleView:
    return RuleView(**asdict(rule), hits=hits.get(rule.id, 0))
