# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocsentry db copy``: refusals in words, and a copy that a server could use."""

from __future__ import annotations

import pytest

from ocsentry.privileges.instance_lock import InstanceLock


@pytest.fixture
def source(command_line):
    command_line.ok("user", "add", "alice", "--password-stdin", stdin="correct horse battery\n")
    return f"sqlite:///{command_line.folder / 'ocsentry.db'}"


def test_a_copy_has_what_the_source_has(command_line, source, tmp_path):
    target = f"sqlite:///{tmp_path / 'new.db'}"
    said = command_line.ok("db", "copy", source, target)
    assert "users: 1\n" in said
    assert said.splitlines()[-1].startswith("copied ")
    text = command_line.config.read_text()
    command_line.config.write_text(text.replace("sqlite:///ocsentry.db", target))
    assert target in command_line.config.read_text()
    assert [user["name"] for user in command_line.json("user", "list")] == ["alice"]
    assert "the audit is intact" in command_line.ok("audit", "verify")
    assert "has rows already" in command_line.fails("db", "copy", source, target)


def test_a_server_that_runs_keeps_its_database_to_itself(command_line, source, tmp_path):
    lock = InstanceLock.of_database(command_line.folder / "ocsentry.db")
    try:
        said = command_line.fails("db", "copy", source, f"sqlite:///{tmp_path / 'new.db'}")
    finally:
        lock.close()
    assert "another server" in said
    assert not (tmp_path / "new.db").exists()


def test_what_is_no_database_is_told(command_line, tmp_path):
    target = f"sqlite:///{tmp_path / 'new.db'}"
    assert "does not exist" in command_line.fails("db", "copy", f"sqlite:///{tmp_path / 'none.db'}", target)
    assert "is not a database URL" in command_line.fails("db", "copy", "somewhere", target)
    assert "names no file" in command_line.fails("db", "copy", "sqlite://", target)
    assert not (tmp_path / "none.db").exists()
