# SPDX-License-Identifier: GPL-3.0-or-later
"""Block lists from URLs: downloaded when missing or old, and never replaced by an invalid list."""

from __future__ import annotations

import json

import pytest

from ocsentry.rule_sources.feed_refresher import RETRY, FeedRefresher
from ocsentry.rule_sources.watcher import RuleWatcher
from sentry_engine import Engine, Policy


@pytest.fixture
def rules(tmp_path, publisher):
    folder = tmp_path / "rules"
    folder.mkdir()
    feed = {"id": "scanners", "url": publisher.url, "refresh_sec": 3600}
    (folder / "feeds.json").write_text(json.dumps({"wolfsentry": {"version": "1.6.3", "feeds": [feed]}}))
    return folder


@pytest.fixture
def keeper(tmp_path, rules):
    return FeedRefresher(tmp_path / "feeds", RuleWatcher([rules], (".json",)))


def refused(rules, tmp_path, address):
    with Engine(Policy.load(rules, feed_folder=tmp_path / "feeds"), core="reference") as engine:
        return not engine.decide("connect", address).accepted


def test_a_missing_list_is_fetched_once(keeper, rules, tmp_path, publisher):
    (result,) = keeper.fetch_missing(0.0)
    assert (result.changed, result.entries, result.problem) == (True, 1, "")
    assert refused(rules, tmp_path, "192.0.2.1")
    assert keeper.fetch_missing(1.0) == []
    assert keeper.refresh_due(3599.0) == []
    assert len(publisher.requests) == 1


def test_an_old_list_is_requested_with_its_etag(keeper, rules, tmp_path, publisher):
    keeper.fetch_missing(0.0)
    (result,) = keeper.refresh_due(3600.0)
    assert not result.changed
    assert publisher.requests == [None, '"1"']
    publisher.body, publisher.etag = b"198.51.100.0/24\n192.0.2.0/24\n", '"2"'
    (result,) = keeper.refresh_due(7200.0)
    assert (result.changed, result.entries) == (True, 2)
    assert refused(rules, tmp_path, "198.51.100.1")


@pytest.mark.parametrize("failure", [{"status": 500}, {"body": b""}, {"body": b"<html>sorry</html>"}])
def test_a_failure_keeps_the_list_and_is_tried_again(keeper, rules, tmp_path, publisher, failure):
    keeper.fetch_missing(0.0)
    publisher.etag = None
    for name, value in failure.items():
        setattr(publisher, name, value)
    (result,) = keeper.refresh_due(3600.0)
    assert not result.changed
    assert result.problem
    assert refused(rules, tmp_path, "192.0.2.1")
    assert keeper.refresh_due(3600.0 + RETRY - 1) == []
    assert len(keeper.refresh_due(3600.0 + RETRY)) == 1


def test_a_feed_that_a_new_file_names_is_due_at_once(keeper, rules, publisher):
    keeper.fetch_missing(0.0)
    feed = {"id": "more", "url": publisher.url + "?more"}
    (rules / "more.json").write_text(json.dumps({"wolfsentry": {"version": "1.6.3", "feeds": [feed]}}))
    assert [result.feed for result in keeper.refresh_due(1.0)] == ["more"]


def test_a_file_with_an_error_does_not_affect_the_others(keeper, rules):
    (rules / "a.json").write_text("{")
    assert [result.feed for result in keeper.fetch_missing(0.0)] == ["scanners"]
