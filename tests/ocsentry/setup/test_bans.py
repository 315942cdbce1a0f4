# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports and exports of bans of other tools."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

DECISIONS = [
    {"duration": "4h", "scenario": "ssh-bf", "scope": "Ip", "type": "ban", "value": "198.51.100.7"},
    {"duration": "24h", "scenario": "scan", "scope": "Range", "type": "ban", "value": "203.0.113.0/24"},
    {"duration": "4h", "scenario": "x", "scope": "Country", "type": "ban", "value": "XX"},
]


def verdict(command_line, address):
    return command_line.json("rules", "explain", address)["verdict"]


def test_decisions_of_crowdsec_become_rules_that_end(command_line, tmp_path):
    file = tmp_path / "decisions.json"
    file.write_text(json.dumps(DECISIONS))
    made = command_line.json("rules", "import", "--from", "crowdsec", file)["file"]
    rules = json.loads(open(made).read())["wolfsentry"]["rules"]  # noqa: PTH123, SIM115
    assert [rule["remote_addr"] for rule in rules] == ["198.51.100.7", "203.0.113.0/24"]
    assert all(rule["expires_at"].endswith("Z") for rule in rules)
    assert verdict(command_line, "203.0.113.9")["rule_id"] == "decisions:2"


def test_a_list_of_fail2ban_becomes_rules(command_line, tmp_path):
    begin = datetime.now().replace(microsecond=0)  # noqa: DTZ005 - the list is in the host's zone
    end = begin + timedelta(seconds=600)
    over, was_over = begin - timedelta(seconds=700), begin - timedelta(seconds=100)
    file = tmp_path / "sshd.txt"
    lines = [f"192.0.2.99 \t{begin} + 600 = {end}", f"198.51.100.8 \t{over} + 600 = {was_over}", "203.0.113.1"]
    file.write_text("\n".join(lines))
    command_line.ok("rules", "import", "--from", "fail2ban", file)
    assert verdict(command_line, "192.0.2.99")["rule_id"] == "sshd:1"
    assert verdict(command_line, "198.51.100.8")["action"] == "accept"
    assert verdict(command_line, "203.0.113.1")["action"] == "reject"


@pytest.mark.parametrize(
    ("kind", "content"), [("crowdsec", "{"), ("crowdsec", '[{"type": "ban"}]'), ("fail2ban", "not an address\n")]
)
def test_a_malformed_list_changes_nothing(command_line, tmp_path, kind, content):
    file = tmp_path / "list.txt"
    file.write_text(content)
    before = sorted((command_line.folder / "rules").iterdir())
    if content == '[{"type": "ban"}]':  # neither an address nor a range: ignored without an error
        command_line.ok("rules", "import", "--from", kind, file)
        return
    assert "list.txt" in command_line.fails("rules", "import", "--from", kind, file)
    assert sorted((command_line.folder / "rules").iterdir()) == before


def test_rules_are_exported_to_each_tool(command_line):
    document = json.loads(command_line.ok("rules", "export"))
    elements = [c["add"]["element"]["elem"] for c in document["nftables"] if "element" in c.get("add", {})]
    assert elements == [[{"prefix": {"addr": "192.0.2.0", "len": 24}}]]
    (decision,) = json.loads(command_line.ok("rules", "export", "--to", "crowdsec"))
    assert (decision["scope"], decision["value"]) == ("range", "192.0.2.0/24")
    assert command_line.ok("rules", "export", "--to", "fail2ban").startswith("192.0.2.0/24 ")


def test_plain_lists_and_lines_are_rule_files_too(command_line, tmp_path):
    plain = tmp_path / "drop.list"
    plain.write_text("# a list\n198.51.100.0/24 ; SBL1\n")
    lines = tmp_path / "geo.conf"
    lines.write_text('block 203.0.113.0/24 "scanners"\nallow 203.0.113.7/32\n')
    command_line.ok("rules", "import", plain)
    command_line.ok("rules", "import", lines)
    assert verdict(command_line, "198.51.100.1")["reason"] == "feed"
    assert verdict(command_line, "203.0.113.9")["action"] == "reject"
    assert verdict(command_line, "203.0.113.7")["action"] == "accept"
    odd = tmp_path / "rules.yaml"
    odd.write_text("a: b")
    assert ".json" in command_line.fails("rules", "import", odd)
