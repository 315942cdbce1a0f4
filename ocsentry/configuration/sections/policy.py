# SPDX-License-Identifier: GPL-3.0-or-later
"""``[policy]``: rules, lists and databases."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from ocsentry.configuration.fields import AnyNetwork, Count, FilePath, OptionalPath, Section, field
from sentry_engine.formats.plain_list import MAX_BYTES as MAX_LIST_BYTES
from sentry_engine.policy.feeds import MAX_DOWNLOAD


def _refuse_xdp(value: object) -> object:
    if value == "xdp":
        raise ValueError('this version has no XDP program: set "nftables", or "off"')
    return value


class PolicySection(Section):
    rules: tuple[FilePath, ...] = field(
        ["rules"],
        "Rule files or folders of them. They are watched: a saved file is in force within one second.",
        max_length=64,
    )
    feeds: FilePath = field("feeds", "Folder for the downloaded block lists that rule files name by URL.")
    feed_networks: tuple[AnyNetwork, ...] = field(
        [],
        "Networks that lists may be downloaded from beside public addresses. An address in a feed's URL is always "
        "allowed; a redirect to another one is not.",
        max_length=64,
    )
    feed_max_bytes: Count = field(
        MAX_DOWNLOAD, "Size of the largest downloaded list, decompressed.", unit="bytes", ge=1024, le=MAX_LIST_BYTES
    )
    geoip_country: OptionalPath = field("", "GeoIP database of countries or cities (`.mmdb`). Empty: none.")
    geoip_asn: OptionalPath = field("", "GeoIP database of autonomous systems (`.mmdb`). Empty: none.")
    geoip_anonymous: OptionalPath = field("", "GeoIP database of proxies, VPNs and Tor exits (`.mmdb`). Empty: none.")
    never_block: tuple[AnyNetwork, ...] = field(
        ["127.0.0.0/8", "::1/128"], "Networks that no rule may refuse. Add the operator's own.", max_length=1024
    )
    default: Literal["accept", "reject"] = field("accept", "Verdict when no rule matches.")
    kernel: Annotated[Literal["off", "nftables"], BeforeValidator(_refuse_xdp)] = field(
        "off",
        "Where penalised sources and networks that blocks or rules refuse are dropped before the server accepts: in "
        "the kernel (`nftables`, Linux 5.12), or not at all. Takes effect at the start.",
    )
