# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup and restore: a server comes back whole from one archive, and a changed archive changes nothing."""

from __future__ import annotations

import io
import shutil
import sqlite3
import tarfile
import threading

import pytest

from ocsentry.configuration.model import load_config
from ocsentry.setup.backup import BackupError, make_backup, read_backup


@pytest.fixture
def folder(initialised, tmp_path):
    shutil.copytree(initialised, tmp_path / "server")
    return tmp_path / "server"


@pytest.fixture
def archive(folder, tmp_path):
    target = tmp_path / "a.tar.gz"
    make_backup(load_config(folder / "ocsentry.toml"), target)
    return target


def rewritten(archive, change):
    """A copy of the archive whose members ``change`` returns: pairs of name and content."""
    target = archive.with_name("changed.tar.gz")
    with tarfile.open(archive) as old, tarfile.open(target, "w:gz") as new:
        members = [(member.name, old.extractfile(member).read()) for member in old]
        for name, content in change(members):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    return target


def test_a_restored_server_is_the_same(folder, archive, tmp_path):
    restored = tmp_path / "new" / "server"
    found = read_backup(archive, restored)
    for name in ("ocsentry.toml", "server.key", "server.crt", "rules/10-limits.json"):
        assert (restored / name).read_bytes() == (folder / name).read_bytes()
        assert name in found.files
    assert (restored / "server.key").stat().st_mode & 0o077 == 0
    assert archive.stat().st_mode & 0o077 == (restored / "ocsentry.db").stat().st_mode & 0o077 == 0
    load_config(restored / "ocsentry.toml")
    tokens = "SELECT name FROM tokens"
    with sqlite3.connect(restored / "ocsentry.db") as new, sqlite3.connect(folder / "ocsentry.db") as old:
        assert new.execute(tokens).fetchall() == old.execute(tokens).fetchall() == [("init",)]


def test_the_database_is_consistent_while_it_is_written(folder, tmp_path):
    """Each transaction adds two rows, so a copy never has an odd number."""
    stop = threading.Event()

    def write():
        with sqlite3.connect(folder / "ocsentry.db", timeout=30, isolation_level=None) as database:
            database.execute("CREATE TABLE pairs (n INTEGER)")
            started.set()
            while not stop.is_set():
                database.execute("BEGIN IMMEDIATE")
                database.executemany("INSERT INTO pairs VALUES (?)", [(1,), (2,)])
                database.execute("COMMIT")

    started = threading.Event()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert started.wait(30)
        for number in range(3):
            make_backup(load_config(folder / "ocsentry.toml"), tmp_path / f"{number}.tar.gz")
            read_backup(tmp_path / f"{number}.tar.gz", tmp_path / f"new{number}")
            with sqlite3.connect(tmp_path / f"new{number}" / "ocsentry.db") as copy:
                (rows,) = copy.execute("SELECT count(*) FROM pairs").fetchone()
            assert rows % 2 == 0
    finally:
        stop.set()
        writer.join()


CHANGES = {
    "a changed file": lambda members: [(n, c + b" " if n == "ocsentry.toml" else c) for n, c in members],
    "a missing file": lambda members: [(n, c) for n, c in members if n != "server.key"],
    "another file": lambda members: [("extra", b"x"), *members],
    "no manifest": lambda members: members[:-1],
    "a file outside": lambda members: [("../evil", b"x"), *members],
    "an absolute name": lambda members: [("/tmp/evil", b"x"), *members],
    "a manifest of another format": lambda members: [*members[:-1], ("manifest.json", b'{"format": 99}')],
    "a manifest that is no object": lambda members: [*members[:-1], ("manifest.json", b"[]")],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_archive_restores_nothing(archive, tmp_path, change):
    with pytest.raises(BackupError):
        read_backup(rewritten(archive, change), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "evil").exists()


def test_a_cut_archive_restores_nothing(archive, tmp_path):
    archive.write_bytes(archive.read_bytes()[:-2000])
    with pytest.raises(BackupError):
        read_backup(archive, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(BackupError, match="not a whole archive"):
        read_backup(tmp_path / "text")


def test_a_folder_with_files_is_not_touched(archive, folder):
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(BackupError, match="not empty"):
        read_backup(archive, folder)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_files_outside_the_folder_are_named(folder, tmp_path):
    outside = tmp_path / "other.json"
    outside.write_text('{"wolfsentry": {"version": "1.6.3", "rules": []}}')
    text = (folder / "ocsentry.toml").read_text().replace('rules = ["rules"]', f'rules = ["rules", "{outside}"]')
    (folder / "ocsentry.toml").write_text(text)
    made = make_backup(load_config(folder / "ocsentry.toml"), tmp_path / "a.tar.gz")
    assert made.left_out == (str(outside),)


def test_the_command_line(command_line, tmp_path):
    target = tmp_path / "b.tar.gz"
    assert command_line.json("backup", target)["files"]
    assert "exists already" in command_line.fails("backup", target)
    assert "OK" in command_line.ok("restore", target, "--check")
    assert "name the new folder" in command_line.fails("restore", target)
    assert "restored" in command_line.ok("restore", target, "--dir", tmp_path / "again")
    assert (tmp_path / "again" / "server.key").exists()
