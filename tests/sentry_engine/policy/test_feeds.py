# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain lists and line files, and refreshes that never lose a list."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry_engine import Action, Engine, Policy, PolicyError, Reason
from sentry_engine.formats import plain_list
from sentry_engine.formats.line_file import read_lines
from sentry_engine.formats.plain_list import parse_list
from sentry_engine.policy.feeds import Fetched, hide_login, refresh_feed
from sentry_engine.prefixes import Origin, Prefixes
from sentry_engine.rules.model import FeedRule

LIST = b"""; Spamhaus-like
# comment
192.0.2.0/24 ; SBL1
198.51.100.7
198.51.100.7\t3
2001:db8:bad::/48, note
203.0.113.9/24
// end
"""


def prefixes(*texts: str) -> Prefixes:
    return Prefixes.of(*texts)


class TestLists:
    def test_a_list_is_its_first_words_each_once(self):
        expected = prefixes("192.0.2.0/24", "198.51.100.7", "2001:db8:bad::/48", "203.0.113.0/24")
        assert parse_list(LIST, file="x") == expected
        assert parse_list(LIST.replace(b"\n", b"\r\n"), file="x") == expected

    @pytest.mark.parametrize("data", [b"<html><body>404</body></html>", b"hello", b"192.0.2.1\n" + b"x" * 5_000])
    def test_what_is_no_list_is_refused(self, data):
        with pytest.raises(PolicyError):
            parse_list(data, file="x")

    def test_one_odd_line_in_many_is_left_out(self):
        many = b"\n".join(b"10.0.%d.0/24" % n for n in range(200))
        assert len(parse_list(many + b"\nwhat is this\n", file="x")) == 200

    def test_sixteen_megabytes_of_empty_lines_take_no_memory(self):
        data = b"\n" * (16 * 1024 * 1024)
        tracemalloc.start()
        assert len(parse_list(data + b"192.0.2.1\r\r\n198.51.100.1", file="x")) == 2
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2.5 * len(data)  # the bytes themselves, twice

    def test_what_cannot_become_a_list_is_given_up_early(self, monkeypatch):
        asked = []
        real = plain_list.first_word
        monkeypatch.setattr(plain_list, "first_word", lambda line: asked.append(line) or real(line))
        with pytest.raises(PolicyError):
            parse_list(b"what is this\n" * 100_000, file="x")
        assert len(asked) < 6_000

    def test_a_malformed_line_is_named_by_its_number(self):
        with pytest.raises(PolicyError) as caught:
            parse_list(b"192.0.2.1\r\n\n\r192.0.2.2\nwhat is this\n", file="x")
        assert [problem.pointer for problem in caught.value.problems] == ["line 5"]

    @given(st.binary(max_size=200))
    def test_any_bytes_are_a_list_or_an_error(self, data):
        try:
            parse_list(data, file="x")
        except PolicyError:
            return


class TestLines:
    def test_lines_mean_what_they_say(self, tmp_path):
        file = tmp_path / "geofilter.conf"
        file.write_text('# mine\nallow 203.0.113.0/24 "office"\nblock 203.0.0.0/16\nblock-country XX "none of it"\n')
        policy = Policy.load(file)
        assert [(r.id, r.action, r.description) for r in policy.prefix_rules] == [
            ("geofilter.conf:2", Action.ACCEPT, "office"),
            ("geofilter.conf:3", Action.REJECT, ""),
        ]
        assert policy.geo_rules[0].countries == {"XX"}

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("allow", "expected"),
            ("permit 10.0.0.0/8", "not known"),
            ("allow 10.0.0.1/8", "host bits"),
            ("block-country germany", "country code"),
            ('block 10.0.0.0/8 "open', "expected"),
            ('block 10.0.0.0/8 "a" b', "expected"),
        ],
    )
    def test_each_error_names_its_line(self, line, words):
        with pytest.raises(PolicyError) as caught:
            read_lines(f"\nallow 192.0.2.0/24\n{line}\n".encode(), file="f")
        (problem,) = caught.value.problems
        assert (problem.file, problem.pointer) == ("f", "line 3")
        assert words in problem.reason

    @given(st.binary(max_size=100).map(lambda b: b"allow " + b))
    def test_any_bytes_are_rules_or_an_error(self, data):
        try:
            read_lines(data, file="x")
        except PolicyError:
            return


class TestFeeds:
    def test_a_list_file_is_refused_as_a_feed(self, tmp_path, core_name):
        (tmp_path / "drop.list").write_bytes(LIST)
        (tmp_path / "rules.json").write_text(
            json.dumps({"wolfsentry": {"version": "1", "feeds": [{"id": "mine", "path": "lists/own.txt"}]}})
        )
        (tmp_path / "lists").mkdir()
        (tmp_path / "lists" / "own.txt").write_text("10.0.0.0/8\n")
        with Engine(Policy.load(tmp_path), core=core_name) as engine:
            verdict = engine.decide("connect", "192.0.2.77")
            assert (verdict.reason, verdict.rule_id) == (Reason.FEED, "list:drop.list")
            assert engine.decide("connect", "10.9.9.9").rule_id == "mine"
            assert engine.decide("connect", "11.9.9.9").accepted

    @pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"10.0.0.0/8\n"])
    def test_missing_empty_or_short_is_an_error_and_allows_nobody(self, tmp_path, content):
        if content is not None:
            (tmp_path / "own.txt").write_bytes(content)
        feed = {"id": "mine", "path": "own.txt", "min_entries": 2}
        (tmp_path / "rules.json").write_text(json.dumps({"wolfsentry": {"version": "1", "feeds": [feed]}}))
        with pytest.raises(PolicyError) as caught:
            Policy.load(tmp_path / "rules.json")
        assert caught.value.problems[0].pointer == "/wolfsentry/feeds/0"

    def test_a_document_from_elsewhere_may_not_name_a_file(self):
        document = {"wolfsentry": {"version": "1", "feeds": [{"id": "mine", "path": "/etc/passwd"}]}}
        with pytest.raises(PolicyError) as caught:
            Policy.from_document(document)
        assert [(p.pointer, "root" in p.reason) for p in caught.value.problems] == [("/wolfsentry/feeds/0/path", False)]


class Web:
    """A fetcher with prepared answers."""

    def __init__(self) -> None:
        self.answer: Fetched | OSError = Fetched(b"10.0.0.0/8\n", "v1")
        self.asked: list[str | None] = []

    def fetch(self, url: str, *, etag: str | None, max_bytes: int) -> Fetched:
        self.asked.append(etag)
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer


class TestRefresh:
    FEED: ClassVar = FeedRule("web", Origin("f", "/0"), url="https://lists.example/drop")
    DOCUMENT: ClassVar = {"wolfsentry": {"version": "1", "feeds": [{"id": "web", "url": "https://lists.example/drop"}]}}

    def load(self, folder: Path) -> Prefixes:
        return Policy.load(documents={"d": self.DOCUMENT}, feed_folder=folder).feed_lists["web"]

    def test_a_new_list_is_kept_and_the_etag_asked_with(self, tmp_path):
        web = Web()
        with pytest.raises(PolicyError, match="not been fetched"):
            self.load(tmp_path)
        assert refresh_feed(self.FEED, tmp_path, web).changed
        assert self.load(tmp_path) == prefixes("10.0.0.0/8")
        web.answer = Fetched(None)
        assert not refresh_feed(self.FEED, tmp_path, web).changed
        assert web.asked == [None, "v1"]
        assert sorted(p.name for p in tmp_path.iterdir()) == ["web.etag", "web.list"]

    @pytest.mark.parametrize(
        "answer", [OSError("503"), Fetched(b""), Fetched(b"# empty\n"), Fetched(b"<html>login</html>")]
    )
    def test_anything_but_a_list_leaves_the_old_one(self, tmp_path, answer):
        web = Web()
        refresh_feed(self.FEED, tmp_path, web)
        web.answer = answer
        report = refresh_feed(self.FEED, tmp_path, web)
        assert (report.changed, bool(report.problem)) == (False, True)
        assert self.load(tmp_path) == prefixes("10.0.0.0/8")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:hid?d#en@lists.example/a@b", "https://***@lists.example/a@b"),
        ("https://token@lists.example", "https://***@lists.example"),
        ("https://lists.example/a@b", "https://lists.example/a@b"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_login_in_a_url_is_not_shown(url, shown):
    assert hide_login(url) == shown


@pytest.mark.parametrize("body", [b"<html>", b"192.0.2.1\n"])
def test_a_refused_list_shows_no_password(tmp_path, body):
    class Fetcher:
        def fetch(self, url, *, etag, max_bytes):
            return Fetched(body)

    feed = FeedRule("f", Origin("file", ""), url="https://me:hidden@lists.example/l", min_entries=2)
    problem = refresh_feed(feed, tmp_path, Fetcher()).problem
    assert "https://***@lists.example/l" in problem
    assert "hidden" not in problem
