# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors on the stream of logins: distributed password guessing, and users in implausible locations."""

from sentry_engine.detectors.attempts import Attempt, Response, Suspicion
from sentry_engine.detectors.detector_set import DetectorSet
from sentry_engine.detectors.thresholds import Thresholds

__all__ = ["Attempt", "DetectorSet", "Response", "Suspicion", "Thresholds"]
