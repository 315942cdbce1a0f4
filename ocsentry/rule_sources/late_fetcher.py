# SPDX-License-Identifier: GPL-3.0-or-later
"""A fetcher of feeds that loads its HTTP client at the first download: most servers have no feed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentry_engine.policy.feeds import Fetched
    from vpn_frontend.settings import Network


class LateFetcher:
    """A ``FeedFetcher``, as ``HttpFetcher``."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = networks

    def fetch(self, url: str, *, etag: str | None, max_bytes: int) -> Fetched:
        """Returns a complete list, or no content if it has not changed. Raises ``OSError`` otherwise."""
        from ocsentry.rule_sources.feed_download import HttpFetcher  # noqa: PLC0415

        return HttpFetcher(self._networks).fetch(url, etag=etag, max_bytes=max_bytes)
