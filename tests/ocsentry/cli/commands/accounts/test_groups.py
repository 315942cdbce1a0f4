# SPDX-License-Identifier: GPL-3.0-or-later
"""``group``, and the settings of users, on a database without a server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PASSWORD = "correct horse battery staple\n"
PAGE = Path(__file__).parents[5] / "docs" / "groups.md"


@pytest.fixture
def staff(command_line):
    command_line.ok("group", "add", "staff", "label=The staff", "routes=10.0.0.0/8, fd00::/8", "restrict_to_routes=yes")
    command_line.ok("user", "add", "alice", "--group", "staff", "--password-stdin", stdin=PASSWORD)
    return command_line


def test_the_commands_of_the_page_work(command_line):
    (block,) = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shown = {}
    for line in block.splitlines():
        arguments = line.removeprefix("$ ocsentry ").split()
        shown[" ".join(arguments)] = command_line.ok(*arguments, stdin=PASSWORD)
    user = shown["user show alice"]
    assert re.search(r"network\.mtu +1300 +user alice", user)
    assert re.search(r"network\.restrict_to_ports +tcp/443,icmp +group staff", user)
    assert re.search(r"limits\.max_same_clients +1 +user alice", user)
    assert "session.dpd" not in user
    assert "in force: quota.day" in shown["group set staff quota.day=10000000000"]
    assert "would end 0 sessions" in shown["group set staff quota.day=10000000000 --dry-run"]
    assert re.search(r"quota\.day +10000000000 +group staff", shown["group show staff"])


def test_show_tells_each_value_and_where_it_comes_from(staff):
    found = staff.json("user", "show", "alice")["effective"]
    assert found["network.routes"] == {"value": ["10.0.0.0/8", "fd00::/8"], "origin": "group staff"}
    assert found["network.restrict_to_routes"] == {"value": True, "origin": "group staff"}
    assert found["session.dpd"]["origin"] == "global"
    everything = staff.ok("user", "show", "alice", "--all")
    assert re.search(r"session\.dpd +90 +global", everything)
    assert re.search(r"name +alice", everything)


def test_an_empty_value_removes_a_key(staff):
    staff.ok("group", "set", "staff", "routes=", "note=for all")
    found = staff.json("group", "show", "staff")
    assert found["settings"] == {"network": {"restrict_to_routes": True}}
    assert (found["note"], found["label"], found["members"]) == ("for all", "The staff", 1)
    assert "at the next login: network.mtu" in staff.ok("group", "set", "staff", "mtu=1300")


def test_rules_of_logins_are_set_shown_and_removed(staff):
    with staff.config.open("a") as file:
        file.write("\n[auth]\nrequire = ['totp']\n")
    assert "at the next login: auth.require" in staff.ok("group", "set", "staff", "auth.require=none")
    assert re.search(r"auth\.require +- +group staff", staff.ok("group", "show", "staff"))
    found = staff.json("group", "show", "staff")["effective"]
    assert found["auth.require"] == {"value": [], "origin": "group staff"}
    assert found["auth.methods"] == {"value": ["password"], "origin": "global"}
    staff.ok("group", "set", "staff", "auth.require=")
    assert staff.json("group", "show", "staff")["effective"]["auth.require"] == {"value": ["totp"], "origin": "global"}
    refused = staff.fails("group", "set", "staff", "auth.methods=ldap,password")
    assert "does not use ldap" in refused


def test_a_group_of_the_configuration_is_shown_with_its_origin(staff):
    with staff.config.open("a") as file:
        file.write("\n[groups.staff]\nmtu = 1250\n[groups.guests]\nlabel = 'Guests'\n")
    found = staff.json("user", "show", "alice")["effective"]
    assert found["network.mtu"] == {"value": 1250, "origin": "group staff (file)"}
    assert [(row["name"], row["source"]) for row in staff.json("group", "list")] == [
        ("guests", "file"), ("staff", "api"),
    ]  # fmt: skip
    assert "configuration file" in staff.run("group", "set", "guests", "mtu=1300").stderr


def test_a_disabled_user_keeps_everything(staff):
    staff.ok("user", "disable", "alice")
    found = staff.json("user", "show", "alice")
    assert (found["enabled"], found["groups"]) == (False, ["staff"])
    staff.ok("user", "passwd", "alice", "--password-stdin", stdin="another\n")
    assert staff.json("user", "show", "alice")["enabled"] is False
    staff.ok("user", "enable", "alice")
    assert staff.json("user", "show", "alice")["enabled"] is True


def test_errors_are_one_readable_text(staff):
    for arguments, text in (
        ("group set staff rutes=10.0.0.0/8", "'rutes' is no setting"),
        ("group set staff routes", "is not KEY=VALUE"),
        ("group set staff mtu=big", "not a whole number"),
        ("group set staff restrict_to_routes=maybe", "true or false"),
        ("group set staff mtu=9", "greater than or equal to 800"),
        ("group set nobody mtu=1300", "There is no group nobody"),
        ("group add staff", "There is a group staff already"),
        ("group add a/b", "pattern"),
        ("user set alice ipv4=x", "IPv4"),
        ("user set alice network.device=x", "Extra inputs"),
        ("user show nobody", "There is no user nobody"),
    ):
        done = staff.run(*arguments.split())
        assert done.returncode == 1
        assert text in done.stderr
