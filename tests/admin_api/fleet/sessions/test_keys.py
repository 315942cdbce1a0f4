# SPDX-License-Identifier: GPL-3.0-or-later
from datetime import UTC, datetime, timedelta

from admin_api.fleet.sessions.keys import DAYS, make_ring, renew_ring
from vpn_frontend.sessions.sealed_cookies import SealedLogin

SECRET, OTHER = bytes(range(32)), bytes(32)
NOON = datetime(2030, 1, 7, 12, tzinfo=UTC)
LOGIN = SealedLogin(bytes(16), 1, 0, "alice")


def test_nodes_with_one_secret_read_each_others_cookies():
    cookie = make_ring(SECRET, NOON).seal(LOGIN)
    assert make_ring(SECRET, NOON).open(cookie) == LOGIN
    assert make_ring(OTHER, NOON).open(cookie) is None


def test_clocks_may_differ_by_a_day_and_a_cookie_may_be_old():
    cookie = make_ring(SECRET, NOON).seal(LOGIN)
    for days, opens in ((-1, True), (1, True), (DAYS, True), (DAYS + 1, False), (-2, False)):
        assert (make_ring(SECRET, NOON + timedelta(days=days)).open(cookie) == LOGIN) is opens, days


def test_each_day_has_another_key():
    ring = make_ring(SECRET, NOON)
    first = ring.current
    renew_ring(ring, SECRET, NOON + timedelta(hours=11))
    assert ring.current == first
    old = ring.seal(LOGIN)
    renew_ring(ring, SECRET, NOON + timedelta(hours=12))
    assert ring.current != first
    assert ring.open(old) == LOGIN
    renew_ring(ring, SECRET, NOON + timedelta(days=DAYS + 1))
    assert ring.open(old) is None
