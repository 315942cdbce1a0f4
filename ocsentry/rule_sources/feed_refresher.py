# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads the block lists that rule files name by URL: before they are needed, and again when they are old.

The engine decides what a valid list is and whether a new one may replace the old (``sentry_engine.policy.feeds``). This
module decides when to download (``feed_download``: how). After a failed
download the earlier copy stays, and the download is retried.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ocsentry.rule_sources.late_fetcher import LateFetcher
from sentry_engine.policy.feeds import MAX_DOWNLOAD, kept_at, refresh_feed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ocsentry.rule_sources.watcher import RuleWatcher
    from sentry_engine.policy.feeds import FeedFetcher, Refresh
    from sentry_engine.rules.model import FeedRule

RETRY = 300.0  # seconds until a failed download is retried, or the feed's own interval if shorter


class FeedRefresher:
    """Downloads run on one thread at a time. ``now`` is in monotonic seconds. The API's ``FeedControl``."""

    def __init__(
        self,
        folder: Path,
        watcher: RuleWatcher,
        fetcher: FeedFetcher | None = None,
        *,
        max_bytes: int = MAX_DOWNLOAD,
    ) -> None:
        """``watcher`` knows the rule files and their feeds. ``max_bytes`` bounds one list, decompressed."""
        self._folder = folder
        self._watcher = watcher
        self._fetcher = fetcher or LateFetcher()
        self._max_bytes = max_bytes
        self._due: dict[str, float] = {}  # by URL
        self._problems: dict[str, str] = {}  # of the last download, by feed id
        self._turn = asyncio.Lock()

    def fetch_missing(self, now: float) -> list[Refresh]:
        """Download the lists without a copy; without them the policy cannot be loaded."""
        return [self._refresh(feed, now) for feed in self._current_feeds() if not self._is_kept(feed)]

    def refresh_due(self, now: float) -> list[Refresh]:
        """Download the lists that are missing or due."""
        due = [feed for feed in self._current_feeds() if now >= self._due_at(feed, now)]
        return [self._refresh(feed, now) for feed in due]

    async def refresh_all(self, now: float) -> list[Refresh]:
        """``refresh_due`` on a thread."""
        async with self._turn:
            return await asyncio.to_thread(self.refresh_due, now)

    async def refresh(self, feed_id: str) -> Refresh | None:
        """Download one list now. Returns ``None`` if no rule file names it by URL."""
        async with self._turn:
            feed = next((feed for feed in self._current_feeds() if feed.id == feed_id), None)
            return None if feed is None else await asyncio.to_thread(self._refresh, feed, time.monotonic())

    def kept_at(self, feed: FeedRule) -> Path | None:
        return kept_at(feed, self._folder)

    def problem_of(self, feed_id: str) -> str:
        return self._problems.get(feed_id, "")

    def downloaded_at(self) -> dict[str, float]:
        """Returns when the copy of each list was downloaded (Unix time), by the id of its rule."""
        kept = {feed.id: kept_at(feed, self._folder) for feed in self._current_feeds()}
        return {name: path.stat().st_mtime for name, path in kept.items() if path is not None and path.is_file()}

    def _refresh(self, feed: FeedRule, now: float) -> Refresh:
        self._folder.mkdir(parents=True, exist_ok=True)
        result = refresh_feed(feed, self._folder, self._fetcher, self._max_bytes)
        self._problems[feed.id] = result.problem
        self._due[str(feed.url)] = now + (min(feed.refresh, RETRY) if result.problem else feed.refresh)
        return result

    def _due_at(self, feed: FeedRule, now: float) -> float:
        """Returns the time of the next download; a copy of an earlier run counts by its age."""
        known = self._due.get(str(feed.url))
        if known is not None:
            return known
        if not self._is_kept(feed):
            return now
        kept = kept_at(feed, self._folder)
        age = time.time() - kept.stat().st_mtime if kept else feed.refresh
        self._due[str(feed.url)] = now + max(0.0, feed.refresh - age)
        return self._due[str(feed.url)]

    def _is_kept(self, feed: FeedRule) -> bool:
        kept = kept_at(feed, self._folder)
        return kept is not None and kept.is_file()

    def _current_feeds(self) -> Iterable[FeedRule]:
        """The feeds with a URL in the rule files."""
        return (feed for feed in self._watcher.feeds_in_rules() if feed.url is not None)
