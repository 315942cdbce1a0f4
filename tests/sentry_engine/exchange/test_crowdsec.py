# SPDX-License-Identifier: GPL-3.0-or-later
"""CrowdSec decisions, written and read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry_engine import PolicyError
from sentry_engine.exchange.crowdsec import parse_duration, read_decisions, render_decisions
from tests.sentry_engine.exchange.sample_bans import BANS, NOW


class TestCrowdsec:
    def test_there_and_back(self):
        written = json.loads(json.dumps(render_decisions(BANS, wall_now=NOW)))
        again = read_decisions(written, file="f", wall_now=NOW)
        assert [(b.text, b.reason) for b in again] == [(b.text, b.reason) for b in BANS[:4]]
        assert again[0].until == NOW + 600

    def test_alerts_hold_decisions_and_what_is_no_ban_is_left_out(self):
        decision = {"duration": "3h59m30.5s", "scenario": "ssh-bf", "scope": "Ip", "type": "ban", "value": "192.0.2.1"}
        others = [
            {**decision, "type": "captcha"},
            {**decision, "scope": "Country", "value": "DE"},
            {**decision, "duration": "-5s"},
        ]
        (ban,) = read_decisions([{"decisions": [decision, *others]}, {"decisions": []}], file="f", wall_now=0.0)
        assert (ban.text, ban.until, ban.reason) == ("192.0.2.1", 14_370.5, "ssh-bf")
        assert read_decisions(None, file="f", wall_now=0.0) == []

    @pytest.mark.parametrize(
        "row",
        [
            5,
            {"scope": "ip"},
            {"scope": "ip", "duration": "1x", "value": "::"},
            {"scope": "ip", "duration": "1h", "value": "x"},
        ],
    )
    def test_what_is_no_decision_is_named(self, row):
        with pytest.raises(PolicyError) as caught:
            read_decisions([row], file="f", wall_now=0.0)
        assert caught.value.problems[0].pointer == "/0"

    @given(st.text(max_size=20))
    def test_any_text_is_a_duration_or_an_error(self, text):
        try:
            parse_duration(text)
        except ValueError:
            return
