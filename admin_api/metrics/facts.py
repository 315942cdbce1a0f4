# SPDX-License-Identifier: GPL-3.0-or-later
"""What metrics need of the composition root: certificates, feeds and address pools."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vpn_frontend.settings import Network


@dataclass(slots=True)
class ServerFacts:
    """The composition root keeps it up to date. Times are aware.

    ``certificates``: the end of each certificate by its use. ``self_signed``: the VPN's is.
    ``feeds``: when each list was downloaded, by its rule.
    ``pools``: the networks that inner addresses come from.
    """

    certificates: Mapping[str, datetime] = field(default_factory=dict)
    self_signed: bool = False
    feeds: Mapping[str, datetime] = field(default_factory=dict)
    pools: Sequence[Network] = ()
