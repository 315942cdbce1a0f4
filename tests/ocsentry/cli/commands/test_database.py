# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocsentry db``: refusals in words, a copy that a server could use, and a schema brought up to date."""

from __future__ import annotations

import sqlite3

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


def test_the_schema_is_upgraded(command_line, source):
    newest = command_line.json("db", "upgrade")["now"]
    assert command_line.ok("db", "upgrade") == f"the schema is at {newest} already\n"
    file = command_line.folder / "ocsentry.db"
    file.unlink()
    for name in ("ocsentry.db-wal", "ocsentry.db-shm"):
        (command_line.folder / name).unlink(missing_ok=True)
    file.touch(mode=0o600)
    assert command_line.json("db", "upgrade") == {"before": None, "now": newest}
    with sqlite3.connect(file) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0000'")
    said = command_line.fails("db", "upgrade")
    assert "0000" in said
    file.unlink()
    assert f"{file} does not exist" in command_line.fails("db", "upgrade")
    assert not file.exists()


def test_a_schema_is_not_upgraded_under_a_server(command_line, source):
    lock = InstanceLock.of_database(command_line.folder / "ocsentry.db")
    try:
        assert "another server" in command_line.fails("db", "upgrade")
    finally:
        lock.close()


def test_what_is_no_database_is_told(command_line, tmp_path):
    target = f"sqlite:///{tmp_path / 'new.db'}"
    assert "does not exist" in command_line.fails("db", "copy", f"sqlite:///{tmp_path / 'none.db'}", target)
    assert "is not a database URL" in command_line.fails("db", "copy", "somewhere", target)
    assert "names no file" in command_line.fails("db", "copy", "sqlite://", target)
    assert not (tmp_path / "none.db").exists()
