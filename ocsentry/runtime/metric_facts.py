# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what metrics tell of certificates, feeds and address pools. Each round reads files, on a control thread."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from ocsentry.setup.certificates import inspect_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from admin_api.metrics.facts import ServerFacts
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.rule_sources.feed_refresher import FeedRefresher

INTERVAL = 60.0  # seconds between two rounds


def read_facts(
    config: LoadedConfig, feeds: FeedRefresher, read_file: Callable[[Path, int], bytes], facts: ServerFacts
) -> None:
    """Bring ``facts`` up to date. ``read_file`` reads keys and certificates."""
    pools = (config.vpn.network.ipv4_pool, config.vpn.network.ipv6_pool, *config.vpn.more_pools())
    facts.pools = tuple(pool for pool in pools if pool is not None)
    facts.certificates = dict(_certificates(config, read_file))
    facts.feeds = {name: datetime.fromtimestamp(moment, UTC) for name, moment in feeds.downloaded_at().items()}


def _certificates(config: LoadedConfig, read_file: Callable[[Path, int], bytes]) -> Iterator[tuple[str, datetime]]:
    """Yields the use and the end of each certificate that can be read."""
    admin = config.values.admin
    for use, certificate, key in (
        ("vpn", config.vpn.certificate, config.vpn.private_key),
        ("admin", admin.certificate, admin.private_key),
    ):
        if certificate is not None and key is not None:
            try:
                yield use, inspect_pair(certificate, key, read_file).not_after
            except (OperatorError, OSError):
                continue  # the readiness check reports it
