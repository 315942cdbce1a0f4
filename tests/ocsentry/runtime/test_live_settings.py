# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that change over the API are in force at once, and stay through reloads and restarts.

namespace: lo, the TUN device that the server makes, nothing else
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from admin_api.store import Store
from ocsentry.configuration.model import load_config
from ocsentry.runtime.live_reload import LiveReload
from ocsentry.runtime.live_settings import read_overrides
from tests.ocsentry.served import Served, serving

SAME = "vpn.limits.max_same_clients"


def settings(cli, prefix=""):
    return {row["key"]: row for row in cli.json("settings", "show", *[prefix] if prefix else [])}


@pytest.mark.netns
def test_a_setting_over_its_whole_life(command_line, namespace):
    cli = command_line
    with serving(Served(cli, namespace)) as server:
        before = settings(cli, SAME)[SAME]
        assert cli.json("settings", "set", f"{SAME}=7", "--dry-run")["in_force"] == [SAME]
        assert settings(cli, SAME)[SAME] == before
        since = len(server.lines)
        assert cli.ok("settings", "set", f"{SAME}=7", "log.level=debug") == f"in force: log.level, {SAME}\n"
        assert server.await_event("configuration_reloaded", since)["in_force"] == ["log.level", SAME]
        changed = settings(cli, SAME)[SAME]
        assert (changed["value"], changed["origin"], changed["file_value"]) == (7, "api", before["value"])
        cli.ok("user", "add", "al", "--password-stdin", stdin="correct horse battery\n")
        assert cli.json("user", "show", "al")["effective"]["limits.max_same_clients"]["value"] == 7
        cli.ok("reload")
        assert settings(cli, SAME)[SAME]["value"] == 7
        assert "not a whole number" in cli.fails("settings", "set", f"{SAME}=x")
        assert "while the server runs" in cli.fails("settings", "set", "vpn.dtls=false")
        server.stop()
    (cli.folder / "notify").unlink()
    with serving(Served(cli, namespace)) as server:
        assert settings(cli, SAME)[SAME]["value"] == 7
        assert cli.json("user", "show", "al")["effective"]["limits.max_same_clients"]["value"] == 7
        assert cli.ok("settings", "unset", SAME) == f"in force: {SAME}\n"
        assert settings(cli, SAME)[SAME] == before
        audit = [row for row in cli.json("audit") if row["action"] == "settings_changed"]
        assert [row["detail"]["changes"].get(SAME) for row in audit] == [None, 7]
        server.stop()


class Events:
    def __init__(self):
        self.seen = []

    def emit(self, kind, **fields):
        self.seen.append((kind, fields))


@pytest.mark.asyncio
async def test_an_override_that_cannot_be_used_is_told_and_left(tmp_path):
    (tmp_path / "ocsentry.toml").write_text("")
    config, events = load_config(tmp_path / "ocsentry.toml"), Events()
    store = await Store.open(f"sqlite:///{tmp_path / 'x.db'}")
    async with store.write() as unit:
        await unit.settings.change({SAME: 4, "vpn.gone": 1, "log.level": "loud"}, "a test")
    assert await read_overrides(store, config, events) == {SAME: 4}
    assert len(events.seen) == 2
    assert "vpn.gone" in json.dumps(events.seen)
    await store.close()


class Control:
    async def run(self, work, *arguments):
        return work(*arguments)


@pytest.mark.asyncio
async def test_a_file_that_does_not_go_with_the_overrides_changes_nothing(tmp_path):
    (tmp_path / "ocsentry.toml").write_text("")
    config, events = load_config(tmp_path / "ocsentry.toml"), Events()
    names = ("enforcement", "engine", "follow", "hosts", "log", "logins", "resolver", "sessions", "vpn")
    live = LiveReload(
        config, {}, control=Control(), events=events, started=SimpleNamespace(helper=None), **dict.fromkeys(names)
    )
    live.overrides = {SAME: "many"}  # as a file of another version would see it
    report = await live.reload("a test")
    assert SAME in report.problems[0]
    assert events.seen[0][0] == "configuration_refused"
    assert await live.check() == report.problems[0]
