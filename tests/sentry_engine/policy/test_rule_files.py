# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache of rule files: an unchanged file is read once, a changed one again."""

from __future__ import annotations

import json
import os
import time

import pytest

from sentry_engine import Policy, PolicyError
from sentry_engine.policy import rule_files
from sentry_engine.policy.rule_files import SETTLED, RuleFiles

LATER = SETTLED + 1


def rule(name, address="192.0.2.0/24"):
    return json.dumps(
        {"wolfsentry": {"version": "1", "rules": [{"id": name, "type": "blacklist", "remote_addr": address}]}}
    )


def rewrite(file, text):
    """Wait for the next tick of the file system's clock: two changes in one tick look alike."""
    before = file.stat().st_ctime_ns
    while file.stat().st_ctime_ns == before:
        file.write_text(text)


def ids(policy):
    return [rule.id for rule in policy.prefix_rules]


class Reads:
    """Counts reads from disk. ``later`` puts the clock ahead, so files count as settled."""

    def __init__(self, monkeypatch):
        self.names, self.later = [], LATER
        self.files = RuleFiles(lambda: time.time() + self.later)
        self._read = rule_files.load_file
        monkeypatch.setattr(rule_files, "load_file", self.note)

    def note(self, path):
        self.names.append(path.name)
        return self._read(path)

    def load(self, *paths):
        """The ids of the policy, and the files read for it."""
        self.names.clear()
        return ids(Policy.load(*paths, read=self.files.read)), self.names[:]


@pytest.fixture
def reads(monkeypatch):
    return Reads(monkeypatch)


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(rule(name))
    return tmp_path


class TestReading:
    def test_once_is_enough(self, reads, folder):
        assert reads.load(folder) == (["a", "b"], ["a.json", "b.json"])
        assert reads.load(folder) == (["a", "b"], [])

    def test_only_what_changed_is_read_again(self, reads, folder):
        reads.load(folder)
        rewrite(folder / "a.json", rule("c"))
        assert reads.load(folder) == (["c", "b"], ["a.json"])

    def test_a_change_that_keeps_size_and_time_shows(self, reads, folder):
        file = folder / "a.json"
        os.utime(file, ns=(1, 1))
        reads.load(folder)
        rewrite(file, rule("x"))
        os.utime(file, ns=(1, 1))
        assert reads.load(folder) == (["x", "b"], ["a.json"])

    def test_what_was_written_a_moment_ago_is_not_relied_on(self, reads, folder):
        reads.later = 0.0
        assert reads.load(folder)[1] == reads.load(folder)[1] == ["a.json", "b.json"]

    def test_what_changes_while_it_is_read_is_not_relied_on(self, reads, folder, monkeypatch):
        def write_behind(path):
            part = reads.note(path)
            rewrite(folder / "a.json", rule("new"))
            return part

        monkeypatch.setattr(rule_files, "load_file", write_behind)
        assert reads.load(folder / "a.json")[0] == ["a"]
        assert reads.load(folder / "a.json")[0] == ["new"]

    def test_an_error_is_told_each_time_and_ends_with_its_cause(self, reads, folder):
        (folder / "a.json").write_text("{")
        for _ in range(2):
            with pytest.raises(PolicyError, match=r"a\.json"):
                reads.load(folder)
        (folder / "a.json").write_text(rule("a"))
        assert reads.load(folder)[0] == ["a", "b"]

    def test_what_is_gone_is_gone(self, reads, folder):
        reads.load(folder)
        (folder / "b.json").unlink()
        assert reads.load(folder) == (["a"], [])
        with pytest.raises(PolicyError, match=r"b\.json.*cannot be read"):
            reads.load(folder / "a.json", folder / "b.json")
        rewrite(folder / "a.json", rule("c"))
        reads.load(folder)
        assert [path.name for path in reads.files._kept] == ["a.json"]
