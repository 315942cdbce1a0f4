# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions as they are watched: what was asked, what was answered, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass

from sentry_engine.cores.interface import Request
from sentry_engine.verdict import Verdict


@dataclass(frozen=True, slots=True)
class CoreDecision:
    request: Request
    verdict: Verdict
    latency: float  # seconds of the walk through the tiers
