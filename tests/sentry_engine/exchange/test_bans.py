# SPDX-License-Identifier: GPL-3.0-or-later
"""Bans in force, and their collapse to disjoint networks."""

from __future__ import annotations

from sentry_engine import Reason
from sentry_engine.addresses import contains, pack_address
from sentry_engine.exchange.bans import Ban, bans_in_force, collapse
from tests.sentry_engine.exchange.sample_bans import BANS, NOW


class TestBans:
    def test_those_of_an_engine_are_its_penalties_blocks_and_rejecting_rules(self, make_engine):
        rules = [
            {"id": "no", "type": "blacklist", "remote_addr": "10.0.0.0/8", "description": "Nobody"},
            {"id": "yes", "type": "whitelist", "remote_addr": "11.0.0.0/8"},
        ]
        engine = make_engine(rules)
        engine.block("12.0.0.1", rule_id="block:1", text="loud", expires_at=NOW + 60)
        engine.penalize("13.0.0.1", 30, reason=Reason.PENALTY, rule_id="few")
        found = {(ban.text, ban.until, ban.reason) for ban in bans_in_force(engine, NOW)}
        assert found == {("10.0.0.0/8", None, "Nobody"), ("12.0.0.1", NOW + 60, "loud"), ("13.0.0.1", NOW + 30, "few")}

    def test_nobody_is_banned_whom_the_engine_lets_in(self, make_engine):
        week = [{"days": ["sun"], "from": "00:00", "to": "00:01", "zone": "UTC"}]  # not now
        rules = [
            {"id": "all", "type": "blacklist", "remote_addr": ["10.0.0.0/24", "::/0", "172.16.0.0/12"]},
            {"id": "ours", "type": "whitelist", "remote_addr": ["10.0.0.64/26", "2001:db8::/32", "13.0.0.0/8"]},
            {"id": "but", "type": "blacklist", "remote_addr": "10.0.0.70"},
            {"id": "same", "type": "whitelist", "remote_addr": "172.16.0.0/12"},
            {"id": "night", "type": "blacklist", "remote_addr": "8.0.0.0/8", "schedule": week},
            {"id": "over", "type": "blacklist", "remote_addr": "9.0.0.0/8", "expires_at": "2001-01-01T00:00:00Z"},
        ]
        engine = make_engine(rules, never_block=["10.0.0.0/30", "::1/128", "12.0.0.0/8"])
        engine.block("12.0.0.1", rule_id="block:1")
        engine.penalize("13.0.0.1", 30, reason=Reason.PENALTY)
        engine.penalize("14.0.0.0/8", 30, reason=Reason.PENALTY)
        bans = list(bans_in_force(engine, NOW))
        hosts = [f"10.0.0.{n}" for n in range(256)] + [
            *("172.16.0.1", "8.8.8.8", "9.9.9.9", "12.0.0.1", "13.0.0.1", "14.0.0.1", "15.0.0.1"),
            *("::1", "::2", "2001:db8::1", "2001:db9::1", "ffff::", "::fffe:ffff:ffff"),
        ]
        for host in hosts:
            packed = pack_address(host)
            banned = any(contains(ban.network, ban.length, packed) for ban in bans)
            assert banned is not engine.explain(host).verdict.accepted, host
        assert len(bans) < 300

    def test_a_ban_inside_a_wider_exemption_is_whole(self, make_engine):
        """The most specific rule decides, also where both begin at one address."""
        rules = [
            {"id": "yes", "type": "whitelist", "remote_addr": "10.0.0.0/8"},
            {"id": "no", "type": "blacklist", "remote_addr": "10.0.0.0/16"},
            {"id": "but", "type": "whitelist", "remote_addr": "10.0.0.0/17"},
        ]
        assert [ban.text for ban in bans_in_force(make_engine(rules), NOW)] == ["10.0.128.0/17"]

    def test_what_lies_in_a_wider_one_that_lasts_is_left_out(self):
        assert "198.51.100.7" not in [ban.text for ban in collapse(BANS)]
        longer = [Ban.of("10.0.0.0/8", NOW + 1), Ban.of("10.0.0.1", NOW + 2)]
        assert collapse(longer) == longer
