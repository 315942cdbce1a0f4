# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules as the API shows them: the URL of a list without its login."""

from __future__ import annotations

from admin_api.enforcement.api_rules import hide_logins, keep_login

FEED = {"id": "f", "type": "feed", "url": "https://me:hidden@lists.example/l"}


def test_a_login_is_hidden_and_kept_by_a_round_trip():
    shown = hide_logins(FEED)
    assert shown == FEED | {"url": "https://***@lists.example/l"}
    assert keep_login(shown | {"description": "new"}, FEED) == FEED | {"description": "new"}


def test_another_url_is_taken_as_it_is():
    other = FEED | {"url": "https://lists.example/l"}
    assert keep_login(other, FEED) == other
    assert keep_login(FEED, other) == FEED
    assert keep_login({"id": "f"}, FEED) == {"id": "f"}
