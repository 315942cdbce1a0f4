# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what metrics tell of certificates, feeds and address pools. Each round reads files, on a control thread."""

from __future__ import annotations

from contextlib import suppress
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
    from vpn_frontend.gateway.certificates.server_certificate import ServerCertificate

INTERVAL = 60.0  # seconds between two rounds


def read_facts(
    config: LoadedConfig,
    feeds: FeedRefresher,
    read_file: Callable[[Path, int], bytes],
    in_use: ServerCertificate,
    facts: ServerFacts,
) -> None:
    """Bring ``facts`` up to date. ``in_use`` is the VPN's certificate, ``read_file`` reads the API's."""
    pools = (config.vpn.network.ipv4_pool, config.vpn.network.ipv6_pool, *config.vpn.more_pools())
    facts.pools = tuple(pool for pool in pools if pool is not None)
    facts.certificates = {"vpn": in_use.expires_at, **dict(_api_certificate(config, read_file))}
    facts.self_signed = in_use.self_signed
    facts.feeds = {name: datetime.fromtimestamp(moment, UTC) for name, moment in feeds.downloaded_at().items()}


def _api_certificate(config: LoadedConfig, read_file: Callable[[Path, int], bytes]) -> Iterator[tuple[str, datetime]]:
    """Yields the use and the end of the certificate, if there is one that can be read."""
    admin = config.values.admin
    if admin.certificate is None or admin.private_key is None:
        return
    with suppress(OperatorError, OSError):  # the next reload reports it
        yield "admin", inspect_pair(admin.certificate, admin.private_key, read_file).not_after
