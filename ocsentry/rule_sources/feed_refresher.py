# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads the block lists that rule files name by URL: before they are needed, and again when they are old.

The engine decides what a valid list is and whether a new one may replace the old (``sentry_engine.policy.feeds``). This
module decides when and how to download. After a failed download the earlier copy stays, and the download is retried.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx

from sentry_engine.policy.feeds import Fetched, kept_at, refresh_feed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ocsentry.rule_sources.watcher import RuleWatcher
    from sentry_engine.policy.feeds import FeedFetcher, Refresh
    from sentry_engine.rules.model import FeedRule

FETCH_TIMEOUT = 20.0  # seconds without data that end a download
MAX_REDIRECTS = 5
RETRY = 300.0  # seconds until a failed download is retried, or the feed's own interval if shorter
CHUNK = 65_536  # bytes


class HttpFetcher:
    """A ``FeedFetcher`` over HTTP and HTTPS."""

    def fetch(self, url: str, *, etag: str | None, max_bytes: int) -> Fetched:
        """Returns a complete list, or no content if it has not changed. Raises ``OSError`` otherwise."""
        headers = {"If-None-Match": etag} if etag else {}
        client = httpx.Client(timeout=FETCH_TIMEOUT, follow_redirects=True, max_redirects=MAX_REDIRECTS)
        try:
            with client as http, http.stream("GET", url, headers=headers) as answer:
                if answer.status_code == httpx.codes.NOT_MODIFIED:
                    return Fetched(None, etag)
                if answer.status_code != httpx.codes.OK:
                    raise OSError(f"{url} answered {answer.status_code} {answer.reason_phrase}")
                return Fetched(_read_bounded(answer, url, max_bytes), answer.headers.get("etag"))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OSError(f"{url}: {str(error) or type(error).__name__}") from error


def _read_bounded(answer: httpx.Response, url: str, max_bytes: int) -> bytes:
    """Returns the decompressed body. Raises ``OSError`` beyond ``max_bytes``, for instance for a compression bomb."""
    body = bytearray()
    for chunk in answer.iter_bytes(CHUNK):
        body += chunk
        if len(body) > max_bytes:
            raise OSError(f"{url} is larger than {max_bytes} bytes")
    return bytes(body)


class FeedRefresher:
    """Use on one thread at a time. ``now`` is in monotonic seconds."""

    def __init__(self, folder: Path, watcher: RuleWatcher, fetcher: FeedFetcher | None = None) -> None:
        """``watcher`` knows the rule files and their feeds."""
        self._folder = folder
        self._watcher = watcher
        self._fetcher = fetcher or HttpFetcher()
        self._due: dict[str, float] = {}  # by URL

    def fetch_missing(self, now: float) -> list[Refresh]:
        """Download the lists without a copy; without them the policy cannot be loaded."""
        return [self._refresh(feed, now) for feed in self._current_feeds() if not self._is_kept(feed)]

    def refresh_due(self, now: float) -> list[Refresh]:
        """Download the lists that are missing or due."""
        due = [feed for feed in self._current_feeds() if now >= self._due_at(feed, now)]
        return [self._refresh(feed, now) for feed in due]

    def _refresh(self, feed: FeedRule, now: float) -> Refresh:
        self._folder.mkdir(parents=True, exist_ok=True)
        result = refresh_feed(feed, self._folder, self._fetcher)
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
