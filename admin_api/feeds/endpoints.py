# SPDX-License-Identifier: GPL-3.0-or-later
"""``/feeds``."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from fastapi import Query

from admin_api.dependencies import PolicyRead, PolicyWrite, ServicesOf
from admin_api.feeds.schemas import FeedRefreshed, FeedView
from admin_api.http.lists.paging import Page, PagingQuery
from admin_api.http.lists.sorting import moment, sorted_page
from admin_api.http.path_segments import BY_FEED_ID
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.progress import pass_no_return
from admin_api.services import Services
from sentry_engine.policy.feeds import hide_login
from sentry_engine.rules.model import FeedRule

router = resource_router("", tag="policy")

FeedOrder = Literal["id", "-id", "entries", "-entries", "changed_at", "-changed_at"]
SORT_KEYS: dict[str, Callable[[FeedView], str | float]] = {
    "id": lambda feed: feed.id,
    "entries": lambda feed: feed.entries,
    "changed_at": lambda feed: 0.0 if feed.changed_at is None else moment(feed.changed_at),
}


@router.get("/feeds", responses=responses())
async def list_feeds(
    _: PolicyRead,
    services: ServicesOf,
    paging: PagingQuery,
    failing: Annotated[bool | None, Query(description="Only those whose last download failed, or did not.")] = None,
    sort: Annotated[FeedOrder, Query(description="`-`: falling. `changed_at`: those never read first.")] = "id",
) -> Page[FeedView]:
    """List the block lists that rule files name, with their age and length, by id or as ``sort`` says."""
    feeds = services.engine.policy.feeds
    changed = await asyncio.to_thread(lambda: [_changed_at(services, feed) for feed in feeds])
    shown = (_show(services, feed, at) for feed, at in zip(feeds, changed, strict=True))
    found = (view for view in shown if failing is None or failing == bool(view.problem))
    return sorted_page(paging, found, sort, SORT_KEYS, lambda view: view.id, lambda view: view)


@router.get(f"/feeds{BY_FEED_ID}", responses=responses(ProblemKind.NOT_FOUND))
async def get_feed(feed_id: str, _: PolicyRead, services: ServicesOf) -> FeedView:
    """Get one block list."""
    feed = _find(services, feed_id)
    return _show(services, feed, await asyncio.to_thread(_changed_at, services, feed))


@router.post(
    f"/feeds{BY_FEED_ID}:refresh",
    responses=responses(ProblemKind.NOT_FOUND, ProblemKind.FEED_FAILED, ProblemKind.INVALID_POLICY),
)
async def refresh_feed(feed_id: str, caller: PolicyWrite, services: ServicesOf) -> FeedRefreshed:
    """Download a block list now. A new one is in force before the answer; a failed download changes nothing."""
    feed = _find(services, feed_id)
    if feed.url is None:
        raise ApiError(ProblemKind.FEED_FAILED, f"{feed_id} is a file, which is read when it changes")
    pass_no_return()  # the thread of a download does not end with the request
    result = await services.feeds.refresh(feed_id)
    if result is None or result.problem:
        raise ApiError(ProblemKind.FEED_FAILED, "" if result is None else result.problem)
    if result.changed:
        await services.enforcement.refresh_lists(by=caller.name)
    entries = len(services.engine.policy.feed_lists.get(feed_id, ()))
    return FeedRefreshed(feed=feed_id, changed=result.changed, entries=entries)


def _find(services: Services, feed_id: str) -> FeedRule:
    feed = next((feed for feed in services.engine.policy.feeds if feed.id == feed_id), None)
    if feed is None:
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no feed {feed_id}")
    return feed


def _changed_at(services: Services, feed: FeedRule) -> datetime | None:
    path: Path | None = feed.path if feed.path is not None else services.feeds.kept_at(feed)
    try:
        return None if path is None else datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None


def _show(services: Services, feed: FeedRule, changed_at: datetime | None) -> FeedView:
    return FeedView(
        id=feed.id,
        description=feed.description,
        path=None if feed.path is None else str(feed.path),
        url=None if feed.url is None else hide_login(feed.url),
        entries=len(services.engine.policy.feed_lists.get(feed.id, ())),
        min_entries=feed.min_entries,
        refresh=None if feed.url is None else feed.refresh,
        changed_at=changed_at,
        age=None if changed_at is None else max(0.0, (services.clock.wall() - changed_at).total_seconds()),
        problem=services.feeds.problem_of(feed.id),
        file=feed.origin.file,
    )
