# SPDX-License-Identifier: GPL-3.0-or-later
"""What logins look like in the large: guesses spread so that no single rate sees them, and owners who cannot be
here.
"""

from sentry_engine.detectors.attempts import Attempt, Response, Suspicion
from sentry_engine.detectors.detector_set import DetectorSet
from sentry_engine.detectors.thresholds import Thresholds

__all__ = ["Attempt", "DetectorSet", "Response", "Suspicion", "Thresholds"]
