# SPDX-License-Identifier: GPL-3.0-or-later
"""Bans given to and taken from nftables, CrowdSec and fail2ban."""

from __future__ import annotations

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.timeouts import TIMEOUT
from sentry_engine import PolicyError, Reason
from sentry_engine.addresses import contains, pack_address
from sentry_engine.exchange.bans import Ban, bans_in_force, collapse
from sentry_engine.exchange.crowdsec import parse_duration, read_decisions, render_decisions
from sentry_engine.exchange.fail2ban import read_banlist, render_banlist
from sentry_engine.exchange.nftables import render_nftables

NOW = 1_000_000_000.0
BANS = [
    Ban.of("192.0.2.1", NOW + 600, "guessing"),
    Ban.of("198.51.100.0/24", None, "for ever"),
    Ban.of("198.51.100.7", NOW + 60, "inside"),
    Ban.of("2001:db8::/48", NOW + 3_600, "v6"),
    Ban.of("203.0.113.1", NOW - 1, "over"),
]


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

    def test_what_lies_in_a_wider_one_that_lasts_is_left_out(self):
        assert "198.51.100.7" not in [ban.text for ban in collapse(BANS)]
        longer = [Ban.of("10.0.0.0/8", NOW + 1), Ban.of("10.0.0.1", NOW + 2)]
        assert collapse(longer) == longer


class TestNftables:
    def test_the_kernel_takes_it(self):
        document = render_nftables(BANS, wall_now=NOW)
        (v4,) = [
            c["add"]["element"]["elem"]
            for c in document["nftables"]
            if c.get("add", {}).get("element", {}).get("name") == "blocked4"
        ]
        assert v4 == [
            {"elem": {"val": "192.0.2.1", "timeout": 600}},
            {"prefix": {"addr": "198.51.100.0", "len": 24}},
        ]
        command = ["unshare", "--net", "nft", "-j", "-f", "-"]
        done = subprocess.run(
            command, input=json.dumps(document), capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        assert done.returncode == 0, done.stderr


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
