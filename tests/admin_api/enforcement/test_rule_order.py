# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of many rules: in order of their ids, making only the rules of the page."""

from __future__ import annotations

import pytest

from admin_api.enforcement import rule_order
from admin_api.enforcement.rule_order import RuleOrder, find_rule
from sentry_engine import Policy
from sentry_engine.rules import columnar
from sentry_engine.rules.model import PrefixRule

PLAIN = [
    {"id": f"r{7 * n % 300}", "type": "whitelist" if n in (7, 8) else "blacklist", "remote_addr": f"10.{n}.0.0/16"}
    for n in range(200)
]
OTHERS = [
    {"id": "r100x", "type": "blacklist", "remote_addr": ["192.0.2.0/24", "198.51.100.0/24"]},
    {"id": "few", "type": "rate_limit", "remote_addr": "0.0.0.0/0", "max_connections_per_minute": 5},
    {"id": "zz", "type": "geo_filter", "country": ["XX"], "action": "reject"},
]
MADE = {"id": "mine", "type": "blacklist", "remote_addr": "203.0.113.0/24"}


def document(rules):
    return {"wolfsentry": {"version": "1", "rules": rules}}


@pytest.fixture
def policy(monkeypatch):
    monkeypatch.setattr(rule_order, "BATCH", 64)
    return Policy.load(documents={"a.json": document([*PLAIN, *OTHERS]), "api:mine": document([MADE])})


class TestPages:
    @pytest.mark.parametrize("limit", [1, 2, 64, 65, 500])
    def test_pages_together_list_all_file_rules(self, policy, limit):
        found, last = [], None
        while page := RuleOrder(policy).after(last, limit):
            assert len(page) <= limit
            found += [rule.id for rule in page]
            last = found[-1]
        assert found == sorted(rule["id"] for rule in (*PLAIN, *OTHERS))

    def test_a_page_makes_only_its_own_rules(self, policy, monkeypatch):
        made = []

        def make(rule_id, *rest):
            made.append(rule_id)
            return PrefixRule(rule_id, *rest)

        ordered = RuleOrder(policy)
        monkeypatch.setattr(columnar, "PrefixRule", make)
        shown = [rule.id for rule in ordered.after("r2", 5)]
        assert shown == made == sorted(rule["id"] for rule in PLAIN if rule["id"] > "r2")[:5]


class TestOneRule:
    def test_is_found_with_its_location(self, policy):
        for place, rule in enumerate((*PLAIN, *OTHERS)):
            found = find_rule(policy, rule["id"])
            assert (found.id, found.origin.pointer) == (rule["id"], f"/wolfsentry/rules/{place}")

    def test_a_rule_of_the_store_is_no_file_rule(self, policy):
        assert find_rule(policy, "mine") is None
        assert find_rule(policy, "nobody") is None
