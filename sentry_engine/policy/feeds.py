# SPDX-License-Identifier: GPL-3.0-or-later
"""Feeds: block lists of other publishers, read from files and refreshed from URLs through a port.

Only a valid list replaces a list. A download that fails, is empty, is not a list or has fewer entries than the rule
demands leaves the present list in place. A list that was never downloaded makes the policy invalid, since loading
without it would accept what it should refuse.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from sentry_engine.errors import PolicyError, Problem
from sentry_engine.formats.plain_list import MAX_BYTES, parse_list
from sentry_engine.geoip.file_identity import FileIdentity
from sentry_engine.prefixes import NOTHING, Prefixes
from sentry_engine.records import dataclass
from sentry_engine.rules.model import FeedRule

MAX_DOWNLOAD = 16 * 1024 * 1024  # bytes of a list from a URL, decompressed: about a million addresses
MAX_CACHED = 64  # parsed lists, cached until their files change


_LOGIN = re.compile(r"(?<=://)[^/]*@")


def hide_login(url: str) -> str:
    """``url`` for logs, answers and errors: without the user and password in it."""
    return _LOGIN.sub("***@", url)


@dataclass(frozen=True, slots=True)
class Fetched:
    """``body`` ``None``: the list is unchanged since ``etag`` (HTTP 304)."""

    body: bytes | None
    etag: str | None = None


class FeedFetcher(Protocol):
    def fetch(self, url: str, *, etag: str | None, max_bytes: int) -> Fetched:
        """Returns a whole list or the notice that it is unchanged. Raises ``OSError`` otherwise."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """The outcome of a refresh: whether there is a new list, or the problem."""

    feed: str
    changed: bool
    entries: int = 0
    problem: str = ""


def read_feeds(
    feeds: Sequence[FeedRule], folder: Path | None, *, allow_unfetched: bool = False
) -> Mapping[str, Prefixes]:
    """Lists by feed id; those of URLs as last stored in ``folder``. Raises ``PolicyError``.

    With ``allow_unfetched`` a list that was never downloaded is empty: for checks, never for serving.
    """
    problems: list[Problem] = []
    lists: dict[str, Prefixes] = {}
    waiting = {feed.id for feed in unfetched_feeds(feeds, folder)} if allow_unfetched else set()
    for feed in feeds:
        try:
            lists[feed.id] = NOTHING if feed.id in waiting else read_feed(feed, folder)
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(problems)
    return lists


def unfetched_feeds(feeds: Sequence[FeedRule], folder: Path | None) -> list[FeedRule]:
    """Returns the feeds with a URL of which ``folder`` has no copy. A server downloads these at its start."""
    kept = ((feed, kept_at(feed, folder)) for feed in feeds if feed.url is not None)
    return [feed for feed, path in kept if path is not None and _is_missing(path)]


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # reading it says why
    return False


def read_feed(feed: FeedRule, folder: Path | None) -> Prefixes:
    path = feed.path if feed.path is not None else kept_at(feed, folder)
    if path is None:
        raise _problem(feed, "there is no folder for lists from URLs")
    try:
        prefixes = _read_cached(FileIdentity.of(str(path)))
    except OSError as error:
        hint = "" if feed.path else ": it has not been fetched yet"
        raise _problem(feed, f"the list {path} cannot be read ({error.strerror}){hint}") from None
    if len(prefixes) < feed.min_entries:
        raise _problem(
            feed, f"the list {path} has {len(prefixes)} entries, fewer than min_entries ({feed.min_entries})"
        )
    return prefixes


def refresh_feed(feed: FeedRule, folder: Path, fetcher: FeedFetcher, max_bytes: int = MAX_DOWNLOAD) -> Refresh:
    """Refresh the list of one URL in ``folder``. Network errors and malformed lists are returned as the problem."""
    if feed.url is None:
        return Refresh(feed.id, changed=False)
    target = folder / f"{_file_name(feed)}.list"
    etags = target.with_suffix(".etag")
    known = etags.read_text() if target.exists() and etags.exists() else None
    try:
        fetched = fetcher.fetch(feed.url, etag=known, max_bytes=max_bytes)
        if fetched.body is None:
            return Refresh(feed.id, changed=False)
        prefixes = parse_list(fetched.body, file=hide_login(feed.url))
    except (OSError, PolicyError) as error:
        return Refresh(feed.id, changed=False, problem=str(error))
    if len(prefixes) < feed.min_entries:
        short = f"{len(prefixes)} entries, fewer than min_entries ({feed.min_entries})"
        problem = f"{hide_login(feed.url)} has {short}: kept the old list"
        return Refresh(feed.id, changed=False, entries=len(prefixes), problem=problem)
    etags.unlink(missing_ok=True)  # no ETag exists between the renames, so none belongs to the wrong list
    replace_file(target, fetched.body)
    if fetched.etag:
        replace_file(etags, fetched.etag.encode())
    return Refresh(feed.id, changed=True, entries=len(prefixes))


def kept_at(feed: FeedRule, folder: Path | None) -> Path | None:
    return None if folder is None else folder / f"{_file_name(feed)}.list"


def replace_file(target: Path, content: bytes) -> None:
    """Replace a file atomically, also across a loss of power."""
    fresh = target.with_name(target.name + ".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(target)


@lru_cache(MAX_CACHED)
def _read_cached(identity: FileIdentity) -> Prefixes:
    with Path(identity.path).open("rb") as file:
        return parse_list(file.read(MAX_BYTES + 1), file=identity.path)


def _file_name(feed: FeedRule) -> str:
    """The id as a file name. ``+`` and ``=`` do not occur in ids, so two feeds never share a file."""
    return feed.id.replace("/", "+").replace(":", "=")


def _problem(feed: FeedRule, reason: str) -> PolicyError:
    return PolicyError([Problem(feed.origin.file, feed.origin.pointer, reason)])
