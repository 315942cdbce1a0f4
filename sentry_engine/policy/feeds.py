# SPDX-License-Identifier: GPL-3.0-or-later
"""Block lists that somebody else keeps: read from files, brought up to date from URLs through a port.

A list is only ever replaced by another list. A download that fails, is empty, is no list or has fewer entries than the
rule demands leaves the one there is; a list that never came refuses the policy rather than allow what it should refuse.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from sentry_engine.errors import PolicyError, Problem
from sentry_engine.formats.plain_list import MAX_BYTES, parse_list
from sentry_engine.geoip.file_identity import FileIdentity
from sentry_engine.prefixes import Prefixes
from sentry_engine.rules.model import FeedRule

MAX_CACHED = 64  # parsed lists kept while their files stay the same


@dataclass(frozen=True, slots=True)
class Fetched:
    """``body`` is ``None`` where the list has not changed since ``etag`` (HTTP 304)."""

    body: bytes | None
    etag: str | None = None


class FeedFetcher(Protocol):
    def fetch(self, url: str, *, etag: str | None, max_bytes: int) -> Fetched:
        """Raises ``OSError`` for anything but a whole list or the word that it has not changed."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """What came of one: ``changed`` is whether there is a new list, ``problem`` why there is none."""

    feed: str
    changed: bool
    entries: int = 0
    problem: str = ""


def read_feeds(feeds: Sequence[FeedRule], folder: Path | None) -> Mapping[str, Prefixes]:
    """The lists of feeds by id; those of URLs as they were last kept in ``folder``. Raises ``PolicyError``."""
    problems: list[Problem] = []
    lists: dict[str, Prefixes] = {}
    for feed in feeds:
        try:
            lists[feed.id] = read_feed(feed, folder)
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(problems)
    return lists


def read_feed(feed: FeedRule, folder: Path | None) -> Prefixes:
    path = feed.path if feed.path is not None else kept_at(feed, folder)
    if path is None:
        raise _problem(feed, "there is no folder to keep lists from URLs in")
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


def refresh_feed(feed: FeedRule, folder: Path, fetcher: FeedFetcher) -> Refresh:
    """Bring the list of one URL up to date in ``folder``. Never raises for what the network or the list is."""
    if feed.url is None:
        return Refresh(feed.id, changed=False)
    target = folder / f"{_file_name(feed)}.list"
    etags = target.with_suffix(".etag")
    known = etags.read_text() if target.exists() and etags.exists() else None
    try:
        fetched = fetcher.fetch(feed.url, etag=known, max_bytes=MAX_BYTES)
        if fetched.body is None:
            return Refresh(feed.id, changed=False)
        prefixes = parse_list(fetched.body, file=feed.url)
    except (OSError, PolicyError) as error:
        return Refresh(feed.id, changed=False, problem=str(error))
    if len(prefixes) < feed.min_entries:
        problem = (
            f"{feed.url} has {len(prefixes)} entries, fewer than min_entries ({feed.min_entries}): kept the old list"
        )
        return Refresh(feed.id, changed=False, entries=len(prefixes), problem=problem)
    etags.unlink(missing_ok=True)  # between the two renames there is no ETag that could speak for the other list
    replace_file(target, fetched.body)
    if fetched.etag:
        replace_file(etags, fetched.etag.encode())
    return Refresh(feed.id, changed=True, entries=len(prefixes))


def kept_at(feed: FeedRule, folder: Path | None) -> Path | None:
    return None if folder is None else folder / f"{_file_name(feed)}.list"


def replace_file(target: Path, content: bytes) -> None:
    """Whole or not at all, over a loss of power too."""
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
    """The id, with what no id holds in place of what no file name should: two feeds never share a file."""
    return feed.id.replace("/", "+").replace(":", "=")


def _problem(feed: FeedRule, reason: str) -> PolicyError:
    return PolicyError([Problem(feed.origin.file, feed.origin.pointer, reason)])
