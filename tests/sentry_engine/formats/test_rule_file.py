# SPDX-License-Identifier: GPL-3.0-or-later
"""Rule files: valid and invalid documents, and the place of each problem."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentry_engine import Action, Engine, Policy, PolicyError, rule_file_schema
from sentry_engine.errors import MAX_PROBLEMS
from sentry_engine.formats import bounded_json
from sentry_engine.formats.bounded_json import MAX_DEPTH, JsonError, parse_json, parse_strictly

RULES = Path(__file__).parents[3] / "rules"
MISSION = {
    "wolfsentry": {
        "version": "1.6.3",
        "rules": [
            {
                "id": "default_rate_limit",
                "type": "rate_limit",
                "remote_addr": "0.0.0.0/0",
                "max_connections_per_minute": 5,
                "penalty_duration_sec": 300,
                "action": "rate_limit",
            },
            {
                "id": "block_tor",
                "type": "geo_filter",
                "remote_addr": "185.220.0.0/16",
                "description": "Tor exits",
                "action": "reject",
            },
            {"id": "no_xx", "type": "geo_filter", "country": ["XX"], "action": "reject"},
            {"id": "corporate", "type": "whitelist", "remote_addr": "203.0.113.0/24", "action": "accept"},
        ],
        "events": [{"label": "dtls_handshake", "max_rate_per_second": 10, "penalty_duration_sec": 60}],
    }
}

# JSON and near-JSON: duplicate keys, white space in every position, numbers in every form.
SPACE = st.text(" \n\t\r", max_size=2)
STRINGS = st.sampled_from(["a", "b", ":", '":', " :", "::1", "\u00e9", "\\", "\0", "\ud800"]).map(json.dumps)
NUMBERS = st.sampled_from(["0", "-0", "1.0", "1e2", "1e999", "-1", "01", "NaN", "-Infinity", "9" * 39, "9" * 41])
SCALARS = STRINGS | NUMBERS | st.sampled_from(["true", "null", '"\n"', "'", ""])


def wrap(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.builds("{0}{1}:{0}{2}".format, SPACE, STRINGS, inner)
    return st.lists(member, max_size=4).map(lambda m: f"{{{','.join(m)}}}") | st.lists(inner, max_size=3).map(
        lambda m: f"[{','.join(m)}]"
    )


JSON_TEXTS = st.recursive(SCALARS, wrap, max_leaves=12)


def with_rule(**rule: Any) -> dict[str, Any]:
    return {"wolfsentry": {"version": "1.6.3", "rules": [{"id": "r", **rule}]}}


def problems(document: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(PolicyError) as caught:
        Policy.from_document(document)
    return [(p.pointer, p.reason) for p in caught.value.problems]


class TestMission:
    def test_the_example_means_what_it_says(self, core_name):
        engine = Engine(Policy.from_document(MISSION), core=core_name)
        answers = [engine.decide("connect", "198.51.100.1", now=10.0 + n) for n in range(6)]
        assert [a.action for a in answers] == [Action.ACCEPT] * 5 + [Action.RATE_LIMITED]
        assert not engine.decide("connect", "198.51.100.1", now=314.9).accepted
        assert engine.decide("connect", "198.51.100.1", now=315.0).accepted
        assert engine.decide("connect", "185.220.101.1", now=0.0).rule_id == "block_tor"
        assert all(engine.decide("connect", "203.0.113.9", now=0.0).accepted for _ in range(50))
        shakes = [engine.decide("dtls_handshake", "198.51.100.2", now=1.0).accepted for _ in range(11)]
        assert shakes == [True] * 10 + [False]

    def test_the_schema_beside_the_rules_is_the_models(self):
        assert json.loads((RULES / "schema.json").read_text()) == rule_file_schema()

    def test_every_shipped_rule_file_loads(self):
        assert Policy.load(RULES).files


class TestProblems:
    @pytest.mark.parametrize(
        ("rule", "pointer", "words"),
        [
            ({"type": "whitelist"}, "/remote_addr", "missing"),
            ({"type": "whytelist", "remote_addr": "10.0.0.0/8"}, "", "did you mean whitelist"),
            ({"remote_addr": "10.0.0.0/8"}, "", "a rule needs a type"),
            ({"type": "whitelist", "remote_addr": "10.0.0.0/8", "prot": 1}, "/prot", "not known"),
            ({"type": "whitelist", "remote_addr": "10.0.0.0/8", "action": "reject"}, "/action", "accept"),
            ({"type": "whitelist", "remote_addr": "10.0.0.1/8"}, "/remote_addr", "host bits"),
            ({"type": "whitelist", "remote_addr": ["10.0.0.0/8", "10.0.0/8"]}, "/remote_addr/1", "not an IP"),
            ({"type": "whitelist", "remote_addr": "10.0.0.0/33"}, "/remote_addr", "0 to 32"),
            ({"type": "whitelist", "remote_addr": "10.0.0.0/08"}, "/remote_addr", "leading zero"),
            ({"type": "whitelist", "remote_addr": "fe80::1%eth0"}, "/remote_addr", "link"),
            ({"type": "blacklist", "remote_addr": []}, "/remote_addr", "at least 1"),
            ({"type": "rate_limit", "remote_addr": "::/0"}, "", "exactly one of"),
            ({"type": "rate_limit", "remote_addr": "::/0", "max_connections": 3}, "", "window_sec is missing"),
            (
                {"type": "rate_limit", "remote_addr": "::/0", "max_connections_per_minute": 3, "window_sec": 2},
                "",
                "no unit",
            ),
            (
                {"type": "rate_limit", "remote_addr": "::/0", "max_connections_per_minute": 0},
                "/max_connections_per_minute",
                "greater than or equal to 1",
            ),
            (
                {"type": "rate_limit", "remote_addr": "::/0", "max_connections_per_minute": "5"},
                "/max_connections_per_minute",
                "integer",
            ),
            (
                {"type": "rate_limit", "remote_addr": "::/0", "max_connections_per_minute": True},
                "/max_connections_per_minute",
                "integer",
            ),
            (
                {
                    "type": "rate_limit",
                    "remote_addr": "::/0",
                    "max_connections_per_minute": 5,
                    "blacklist_threshold": 2,
                },
                "",
                "penalty_duration_sec",
            ),
            (
                {"type": "event_limit", "event": "nobody", "remote_addr": "::/0", "max_events": 1, "window_sec": 1},
                "/event",
                "neither built in nor declared",
            ),
            ({"type": "geo_filter", "action": "reject"}, "", "exactly one of"),
            ({"type": "geo_filter", "action": "reject", "country": ["de"]}, "/country/0", "pattern"),
            ({"type": "geo_filter", "action": "reject", "country": ["DE"], "asn": [1]}, "", "exactly one of"),
            (
                {"type": "whitelist", "remote_addr": "::/0", "ttl": 5, "expires_at": "2030-01-01T00:00:00Z"},
                "",
                "not both",
            ),
            (
                {"type": "whitelist", "remote_addr": "::/0", "expires_at": "2030-01-01T00:00:00"},
                "/expires_at",
                "offset",
            ),
            ({"type": "whitelist", "remote_addr": "::/0", "expires_at": 5}, "/expires_at", "text such as"),
            ({"type": "whitelist", "remote_addr": "::/0", "id": "block:x"}, "/id", "the engine's own"),
            ({"type": "whitelist", "remote_addr": "::/0", "id": "a b"}, "/id", "pattern"),
        ],
    )
    def test_each_names_its_place_and_reason(self, rule, pointer, words):
        found = problems(with_rule(**rule))
        assert ("/wolfsentry/rules/0" + pointer) in [place for place, _ in found]
        assert any(words in reason for _, reason in found)

    def test_all_of_them_are_reported_up_to_a_hundred(self):
        rules = [{"id": f"r{n}", "type": "whitelist", "remote_addr": "x"} for n in range(300)]
        assert len(problems({"wolfsentry": {"version": "1", "rules": rules}})) == MAX_PROBLEMS

    def test_ids_are_used_once(self):
        rule = {"id": "twice", "type": "whitelist", "remote_addr": "10.0.0.0/8"}
        ((pointer, reason),) = problems({"wolfsentry": {"version": "1", "rules": [rule, rule]}})
        assert pointer == "/wolfsentry/rules/1/id"
        assert "/wolfsentry/rules/0" in reason

    def test_one_event_of_one_prefix_has_one_limit(self):
        rule = {"type": "rate_limit", "remote_addr": "0.0.0.0/0", "max_connections_per_minute": 5}
        document = {"wolfsentry": {"version": "1", "rules": [{"id": "a", **rule}, {"id": "b", **rule}]}}
        assert problems(document) == [("/wolfsentry/rules/1", "'a' already limits connect of 0.0.0.0/0")]

    def test_what_is_no_document_at_all(self):
        for document in ({}, {"rules": []}, {"wolfsentry": []}, {"wolfsentry": {"rules": []}}, {"wolfsentry": None}):
            assert problems(document)


class TestFiles:
    def test_a_folder_is_one_policy(self, tmp_path):
        (tmp_path / "a.json").write_text(json.dumps(with_rule(type="whitelist", remote_addr="10.0.0.0/8")))
        (tmp_path / "b.json").write_text(json.dumps({"wolfsentry": {"version": "1", "default": "reject"}}))
        (tmp_path / "notes.txt").write_text("not a rule file")
        policy = Policy.load(tmp_path)
        assert [Path(file).name for file in policy.files] == ["a.json", "b.json"]
        assert (len(policy.prefix_rules), policy.default) == (1, Action.REJECT)

    def test_clashes_between_files_are_problems(self, tmp_path):
        (tmp_path / "a.json").write_text(json.dumps(with_rule(type="whitelist", remote_addr="10.0.0.0/8")))
        (tmp_path / "b.json").write_text(json.dumps(with_rule(type="blacklist", remote_addr="11.0.0.0/8")))
        (tmp_path / "c.json").write_text(json.dumps({"wolfsentry": {"version": "1", "default": "reject"}}))
        (tmp_path / "d.json").write_text(json.dumps({"wolfsentry": {"version": "1", "default": "accept"}}))
        with pytest.raises(PolicyError) as caught:
            Policy.load(tmp_path)
        assert [Path(p.file).name for p in caught.value.problems] == ["b.json", "d.json"]

    def test_one_bad_file_refuses_all_and_all_bad_files_are_named(self, tmp_path):
        (tmp_path / "a.json").write_text("{")
        (tmp_path / "b.json").write_bytes(b'{"wolfsentry": "\xff"}')
        (tmp_path / "c.json").write_text(json.dumps(MISSION))
        with pytest.raises(PolicyError) as caught:
            Policy.load(tmp_path, tmp_path / "missing.json")
        assert [Path(p.file).name for p in caught.value.problems] == ["a.json", "b.json", "missing.json"]

    def test_a_ttl_counts_from_the_last_change_of_the_file(self, tmp_path):
        file = tmp_path / "a.json"
        file.write_text(json.dumps(with_rule(type="blacklist", remote_addr="10.0.0.0/8", ttl=60)))
        os.utime(file, (1_000.0, 1_000.0))
        (rule,) = Policy.load(file).prefix_rules
        assert rule.expires_at == 1_060.0

    def test_documents_and_files_are_one_policy(self, tmp_path):
        (tmp_path / "a.json").write_text(json.dumps(with_rule(type="whitelist", remote_addr="10.0.0.0/8")))
        with pytest.raises(PolicyError) as caught:
            Policy.load(tmp_path, documents={"api:r": with_rule(type="blacklist", remote_addr="11.0.0.0/8")})
        assert [p.file for p in caught.value.problems] == ["api:r"]
        document = {
            "wolfsentry": {"version": "1", "rules": [{"id": "s", "type": "blacklist", "remote_addr": "11.0.0.0/8"}]}
        }
        policy = Policy.load(tmp_path, documents={"api:s": document}, default="reject")
        assert [rule.origin.file for rule in policy.prefix_rules] == [str(tmp_path / "a.json"), "api:s"]
        assert policy.default is Action.REJECT


class TestJson:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('{"a": 1, "a": 2}', "twice"),
            ('{"a": NaN}', "NaN"),
            ('{"a": -Infinity}', "Infinity"),
            ('{"a": 1e999}', "out of range"),
            ('{"a": ' + "9" * 50 + "}", "digits"),
            ('{"a": 0.' + "9" * 50 + "}", "digits"),
            ("[" * 100_000 + "]" * 100_000, "deeper"),
            ('{"a":' * 100_000, "deeper"),
            ("", "line 1"),
            ('{"a": 1} x', "Extra data"),
        ],
    )
    def test_liberties_are_refused(self, text, words):
        with pytest.raises(JsonError, match=words):
            parse_json(text.encode())

    def test_brackets_in_strings_do_not_nest(self):
        text = json.dumps({"a": '\\"[[[{' * 1_000, "b": ["\\", "[" * 100, '{"']})
        assert parse_json(text.encode()) == json.loads(text)

    def test_nesting_to_the_limit_is_read(self):
        text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
        assert parse_json(text.encode()) == json.loads(text)

    @given(JSON_TEXTS)
    @example('{"a": 1, "a": 1}')
    @example('{"a" \n: 1, "b": ":", "a": 1}')
    @example('{"a": {"b": 1}, "a": {"b": ":"}}')
    @example('["::", {"a": 1.5}]')
    @example('{"a": 1e400}')
    @example(f"[{10**39}, {10**39 - 1}, {-(10**39)}, {1 - 10**39}, {10**40}]")
    @example('["\\ud800"]')
    @example('\ufeff{"a": ":"}')
    @example("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    @example("[" * MAX_DEPTH + "{}" + "]" * MAX_DEPTH)
    @example("[" * MAX_DEPTH + "0" + "]" * MAX_DEPTH)
    def test_the_quick_way_reads_what_the_strict_one_reads(self, text):
        outcomes = []
        for parse in (parse_json, parse_strictly):
            try:
                outcomes.append(repr(parse(text.encode())))  # distinguishes 1, 1.0 and True
            except JsonError as error:
                outcomes.append(error.args)
        assert outcomes[0] == outcomes[1]

    def test_most_documents_are_read_the_quick_way(self, monkeypatch):
        monkeypatch.setattr(bounded_json, "parse_strictly", None)
        text = json.dumps(MISSION | {"addresses": ["2001:db8::1", "a:b"], "deep": {"a": {"b": [True, None, 7]}}})
        assert parse_json(text.encode()) == json.loads(text)

    def test_truncated_at_every_length_is_an_error_and_nothing_else(self):
        whole = json.dumps(MISSION).encode()
        for length in range(len(whole)):
            with pytest.raises(JsonError):
                parse_json(whole[:length])

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
        )
    )
    def test_any_document_is_a_policy_or_a_list_of_problems(self, value):
        for document in (value, {"wolfsentry": value}, {"wolfsentry": {"version": "1", "rules": value}}):
            try:
                Policy.from_document(document)
            except PolicyError as error:
                assert error.problems  # noqa: PT017
