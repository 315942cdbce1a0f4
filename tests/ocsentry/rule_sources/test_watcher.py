# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of a rule file is detected, however it is written; other changes cause nothing."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from lab.timeouts import TIMEOUT
from ocsentry.rule_sources.watcher import RuleWatcher


@asynccontextmanager
async def watching(*paths):
    watcher = RuleWatcher(paths, (".json",))
    notices: asyncio.Queue[None] = asyncio.Queue()

    async def collect():
        async for _ in watcher.changes():
            notices.put_nowait(None)

    task = asyncio.create_task(collect())
    try:
        yield notices
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def noticed(notices):
    await asyncio.wait_for(notices.get(), TIMEOUT)
    while not notices.empty():
        notices.get_nowait()


@pytest.mark.asyncio
async def test_a_file_written_in_place_and_one_renamed_over_it(tmp_path):
    rule = tmp_path / "a.json"
    rule.write_text("{}")
    async with watching(tmp_path) as notices:
        rule.write_text('{"a": 1}')
        await noticed(notices)
        fresh = tmp_path / "a.json.new"
        fresh.write_text("{}")
        fresh.rename(rule)
        await noticed(notices)
        rule.unlink()
        await noticed(notices)


@pytest.mark.asyncio
async def test_a_single_file_that_an_editor_replaces(tmp_path):
    rule = tmp_path / "only.json"
    rule.write_text("{}")
    async with watching(rule) as notices:
        for text in ("{ }", "{  }"):
            fresh = tmp_path / "x"
            fresh.write_text(text)
            fresh.rename(rule)
            await noticed(notices)


@pytest.mark.asyncio
async def test_a_folder_created_later_or_replaced(tmp_path):
    folder = tmp_path / "rules"
    async with watching(folder) as notices:
        staged = tmp_path / "staged"
        staged.mkdir()
        (staged / "a.json").write_text("{}")
        staged.rename(folder)
        await noticed(notices)
        folder.rename(tmp_path / "old")
        await noticed(notices)
        folder.mkdir()
        (folder / "b.json").write_text("{}")
        await noticed(notices)


@pytest.mark.asyncio
async def test_other_files_cause_nothing(tmp_path):
    rule = tmp_path / "a.json"
    rule.write_text("{}")
    async with watching(tmp_path) as notices:
        (tmp_path / "ocsentry.db-wal").write_text("x")
        (tmp_path / ".a.json.swp").write_text("x")
        (tmp_path / "b.json").write_text("{}")  # the only change that counts
        await asyncio.wait_for(notices.get(), TIMEOUT)
        assert notices.empty()


@pytest.mark.asyncio
async def test_a_list_may_be_in_any_folder_and_be_created_later(tmp_path):
    rules, elsewhere = tmp_path / "rules", tmp_path / "lists" / "of others"
    rules.mkdir()
    elsewhere.mkdir(parents=True)
    feed = {"id": "f", "path": str(elsewhere / "bad.txt")}
    (rules / "a.json").write_text(json.dumps({"wolfsentry": {"version": "1", "feeds": [feed]}}))
    async with watching(rules) as notices:
        (elsewhere / "other.txt").write_text("192.0.2.0/24\n")
        (elsewhere / "bad.txt").write_text("192.0.2.0/24\n")
        await noticed(notices)
        fresh = elsewhere / "bad.txt.new"
        fresh.write_text("198.51.100.0/24\n")
        fresh.rename(elsewhere / "bad.txt")
        await noticed(notices)


@pytest.mark.asyncio
async def test_a_rule_file_created_later_may_name_a_list(tmp_path):
    rules, named = tmp_path / "rules", tmp_path / "lists" / "bad.txt"
    rules.mkdir()
    named.parent.mkdir()
    async with watching(rules) as notices:
        feed = {"id": "f", "path": "../lists/bad.txt"}
        (rules / "a.json").write_text(json.dumps({"wolfsentry": {"version": "1", "feeds": [feed]}}))
        await noticed(notices)
        named.write_text("192.0.2.0/24\n")
        await noticed(notices)
