# SPDX-License-Identifier: GPL-3.0-or-later
"""When a delivery is tried again, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from admin_api.ports import WebhookAnswer
from admin_api.store.webhook_tables import WebhookDelivery
from admin_api.webhooks.attempts import DELAYS, MAX_ATTEMPTS, MAX_RETRY_AFTER, judge

NOW = datetime(2030, 1, 2, tzinfo=UTC)


def after(attempts, answer, chance=0.5):
    return judge(WebhookDelivery(id="d", attempts=attempts), answer, NOW, chance)


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_delivered(status):
    outcome = after(0, WebhookAnswer(status))
    assert (outcome.delivered, outcome.next_at, outcome.attempts) == (True, None, 1)


@pytest.mark.parametrize("answer", [WebhookAnswer(500), WebhookAnswer(404), WebhookAnswer(302), OSError("refused")])
def test_every_failure_is_tried_again_until_the_last(answer):
    waits = []
    for attempts in range(MAX_ATTEMPTS - 1):
        outcome = after(attempts, answer)
        assert not outcome.delivered
        waits.append((outcome.next_at - NOW).total_seconds())
    assert waits == [*DELAYS]
    last = after(MAX_ATTEMPTS - 1, answer)
    assert (last.delivered, last.next_at, last.attempts) == (False, None, MAX_ATTEMPTS)
    assert last.error


def test_jitter_goes_a_fifth_up_and_down():
    waits = [(after(1, OSError(), chance).next_at - NOW) / timedelta(seconds=DELAYS[1]) for chance in (0.0, 0.5, 1.0)]
    assert waits == [0.8, 1.0, 1.2]


def test_a_receiver_may_ask_for_a_longer_wait_and_for_no_shorter_one():
    assert after(0, WebhookAnswer(503, 3600.0)).next_at == NOW + timedelta(hours=1)
    assert after(2, WebhookAnswer(429, 1.0)).next_at == NOW + timedelta(seconds=DELAYS[2])
    assert after(0, WebhookAnswer(429, 1e9)).next_at == NOW + timedelta(seconds=MAX_RETRY_AFTER)


def test_gone_ends_at_once():
    assert after(0, WebhookAnswer(410)).next_at is None


def test_redirects_are_told():
    assert "redirects are not followed" in after(0, WebhookAnswer(307)).error


def test_errors_are_bounded():
    assert len(after(0, OSError("x" * 10_000)).error) == 200
