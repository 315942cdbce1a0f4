# SPDX-License-Identifier: GPL-3.0-or-later
"""When a delivery is tried again, and when it is given up."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from admin_api.store.webhooks import Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from admin_api.ports import WebhookAnswer
    from admin_api.store.webhook_tables import WebhookDelivery

MINUTE, HOUR = 60.0, 3600.0
# Seconds after each failed attempt (Standard Webhooks 1.0, "Deliverability and reliability"). Three days in all.
DELAYS = (5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
MAX_ATTEMPTS = len(DELAYS) + 1
JITTER = 0.2  # of a delay, up and down: receivers that come back are not met by all servers at once
MAX_RETRY_AFTER = 24 * HOUR
GONE = 410
MAX_ERROR = 200  # characters


def judge(delivery: WebhookDelivery, answer: WebhookAnswer | OSError, now: datetime, chance: float) -> Outcome:
    """Returns what became of an attempt. ``chance``: uniform in [0, 1), for the jitter."""
    attempts = delivery.attempts + 1
    if isinstance(answer, OSError):
        status, wish, error = None, None, str(answer) or type(answer).__name__
    else:
        status, wish = answer.status, answer.retry_after
        if 200 <= status < 300:
            return Outcome(delivery.id, True, attempts, status=status)
        error = f"answered {status}"
        if 300 <= status < 400:
            error += ": redirects are not followed"
    next_at = None
    if attempts < MAX_ATTEMPTS and status != GONE:
        delay = DELAYS[attempts - 1] * (1 + JITTER * (2 * chance - 1))
        next_at = now + timedelta(seconds=max(delay, min(wish or 0.0, MAX_RETRY_AFTER)))
    return Outcome(delivery.id, False, attempts, next_at=next_at, status=status, error=error[:MAX_ERROR])
