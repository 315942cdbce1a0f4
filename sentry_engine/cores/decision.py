# SPDX-License-Identifier: GPL-3.0-or-later
"""A decision recorded by a core: request, verdict and latency."""

from __future__ import annotations

from sentry_engine.cores.interface import Request
from sentry_engine.records import dataclass
from sentry_engine.verdict import Verdict


@dataclass(frozen=True, slots=True)
class CoreDecision:
    request: Request
    verdict: Verdict
    latency: float  # seconds
