# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast path for columnar rules reads the same rules as the models and reports the same problems."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentry_engine import Engine, Policy, PolicyError
from sentry_engine.formats import columnar_rules
from sentry_engine.formats.columnar_rules import WORTH_IT
from sentry_engine.formats.rule_file import read_document
from sentry_engine.rules.columnar import ColumnarRules
from sentry_engine.verdict import Action

PLAIN = [
    {"id": f"rule-{n}", "type": "blacklist", "remote_addr": f"10.{n >> 8}.{n & 255}.0/24"} for n in range(2 * WORTH_IT)
]
ODD_VALUES = st.sampled_from(
    [
        "",
        "x",
        "block:x",
        "rule-3",
        "a" * 129,
        "é",
        "\ud800",
        "10.0.0.1/24",
        "::/0",
        7,
        None,
        True,
        [],
        ["10.9.0.0/16"],
        {},
    ]
)
WORDS = st.sampled_from(["blacklist", "whitelist", "geo_filter", "rate_limit", "accept", "reject"])
KEYS = st.sampled_from(
    ["id", "type", "remote_addr", "action", "description", "ttl", "enabled", "expires_at", "country", "colour"]
)
CHANGES = st.lists(
    st.tuples(st.integers(0, len(PLAIN) - 1), KEYS, ODD_VALUES | WORDS | st.just(10.0) | st.just("203.0.113.0/24")),
    max_size=6,
)


def document(rules):
    return {"wolfsentry": {"version": "1", "rules": rules}}


def read(rules):
    """The rules of a document as values, or its problems."""
    try:
        part = read_document(document(rules), file="f.json", changed_at=0.0)
    except PolicyError as error:
        return [str(problem) for problem in error.problems]
    return [*part.prefix_rules, *part.limit_rules, *part.geo_rules]


@pytest.fixture
def long_way(monkeypatch):
    def read_long(rules):
        with monkeypatch.context() as patch:
            patch.setattr(columnar_rules, "WORTH_IT", len(rules) + 1)
            return read(rules)

    return read_long


class TestTheShortWay:
    def test_it_is_taken(self):
        part = read_document(document(PLAIN), file="f.json", changed_at=0.0)
        (run,) = part.prefix_rules.parts
        assert isinstance(run, ColumnarRules)
        assert len(run) == len(PLAIN)

    @settings(max_examples=150, deadline=None)
    @given(changes=CHANGES, batch=st.sampled_from([1, 7, columnar_rules.BATCH]))
    def test_it_means_what_the_models_mean(self, changes, batch):
        rules = [dict(rule) for rule in PLAIN]
        for at, key, value in changes:
            rules[at][key] = value
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(columnar_rules, "BATCH", batch)
            short = read(rules)
            patch.setattr(columnar_rules, "WORTH_IT", len(rules) + 1)
            assert short == read(rules)

    @pytest.mark.parametrize("key", ["id", "type", "remote_addr"])
    def test_what_is_missing_is_missed_at_its_place(self, key):
        rules = [dict(rule) for rule in PLAIN]
        del rules[70][key]
        assert any("/wolfsentry/rules/70" in problem for problem in read(rules))

    def test_an_id_used_twice_names_both_places(self, long_way):
        for duplicate in ({"id": "rule-5", "type": "blacklist", "remote_addr": "10.5.0.0/16"},
                     {"id": "rule-5", "type": "blacklist", "remote_addr": ["10.5.0.0/16"]}):  # fmt: skip
            (problem,) = read([*PLAIN, duplicate])
            assert f"/wolfsentry/rules/{len(PLAIN)}/id" in problem
            assert "/wolfsentry/rules/5" in problem
            assert [problem] == long_way([*PLAIN, duplicate])

    def test_other_rules_in_between_keep_their_places(self, long_way):
        rules = [dict(rule) for rule in PLAIN]
        rules[40] = {"id": "hour", "type": "whitelist", "remote_addr": "10.0.40.0/24", "ttl": 60.0}
        rules[41]["enabled"] = False
        rules[90]["type"] = "whitelist"
        rules[91] = {"id": "few", "type": "rate_limit", "remote_addr": "10.0.91.0/24", "max_connections_per_minute": 5}
        assert read(rules) == long_way(rules)
        assert [r.origin.pointer for r in read(rules)[40:42]] == ["/wolfsentry/rules/40", "/wolfsentry/rules/42"]


class TestPolicies:
    def test_verdicts_texts_and_blocks(self, core_name):
        rules = [dict(rule, description=f"net {n}") if n % 2 else dict(rule) for n, rule in enumerate(PLAIN)]
        rules[7] |= {"type": "whitelist", "remote_addr": "10.0.8.0/25"}
        with Engine(Policy.from_document(document(rules)), core=core_name) as engine:
            assert engine.decide("connect", "10.0.9.1", now=0.0).rule_id == "rule-9"
            assert engine.decide("connect", "10.0.8.1", now=0.0).rule_id == "rule-7"
            assert engine.rule_text("rule-9") == "net 9"
            assert engine.rule_text("rule-10") == ""
            engine.block("10.0.8.0/26", rule_id="block:1")
            assert engine.decide("connect", "10.0.8.1", now=0.0).rule_id == "block:1"
            assert engine.explain("10.0.9.1", now=0.0).verdict.rule_id == "rule-9"

    def test_the_first_of_equal_rules_wins_and_accepting_before_rejecting(self, core_name):
        rules = [*PLAIN, {"id": "again", "type": "blacklist", "remote_addr": "10.0.3.0/24"}]
        rules.append({"id": "friend", "type": "whitelist", "remote_addr": "10.0.4.0/24"})
        with Engine(Policy.from_document(document(rules)), core=core_name) as engine:
            assert engine.decide("connect", "10.0.3.1", now=0.0).rule_id == "rule-3"
            assert engine.decide("connect", "10.0.4.1", now=0.0).rule_id == "friend"

    def test_an_id_of_another_file_is_a_problem_where_it_stands(self, tmp_path):
        for name in ("a.json", "b.json"):
            (tmp_path / name).write_text(json.dumps(document(PLAIN if name == "a.json" else PLAIN[70:71])))
        with pytest.raises(PolicyError) as caught:
            Policy.load(tmp_path)
        (problem,) = caught.value.problems
        assert (problem.file, problem.pointer) == (str(tmp_path / "b.json"), "/wolfsentry/rules/0/id")

    def test_they_are_a_sequence(self):
        rules = Policy.from_document(document(PLAIN)).prefix_rules
        assert [rule.id for rule in rules] == [rule["id"] for rule in PLAIN]
        assert rules[-1] == rules[len(rules) - 1] == list(rules)[-1]
        assert rules[3:5] == (rules[3], rules[4])
        assert {rule.action for rule in rules} == {Action.REJECT}
        with pytest.raises(IndexError):
            rules[len(rules)]
