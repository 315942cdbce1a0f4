# SPDX-License-Identifier: GPL-3.0-or-later
"""fail2ban's ban lists, written and read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentry_engine import PolicyError
from sentry_engine.exchange.fail2ban import read_banlist, render_banlist
from tests.sentry_engine.exchange.sample_bans import BANS, NOW


class TestFail2ban:
    def test_there_and_back(self):
        again = read_banlist(render_banlist(BANS, wall_now=NOW), file="f", wall_now=NOW)
        assert [(b.text, b.until) for b in again] == [(b.text, b.until) for b in BANS[:4]]

    def test_the_format_of_the_client_and_plain_lists(self):
        text = "192.0.2.1 \t2001-09-09 01:46:40 + 600 = 2001-09-09 01:56:40\n\n# c\n198.51.100.1\n"
        assert [(b.text, b.until) for b in read_banlist(text, file="f", wall_now=NOW)] == [
            ("192.0.2.1", NOW + 600),
            ("198.51.100.1", None),
        ]

    @given(st.text(max_size=60))
    def test_any_text_is_bans_or_an_error(self, text):
        try:
            read_banlist(text, file="f", wall_now=NOW)
        except PolicyError:
            return
