# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from ocsentry.user_files.read_through import MAX_BYTES, SETTLED, ReadThroughFile


@pytest.fixture
def parsed():
    """What was parsed, in order."""
    return []


@pytest.fixture
def make_file(tmp_path, parsed):
    path = tmp_path / "users"
    path.write_bytes(b"one")

    def parse(data):
        parsed.append(data)
        return [data]

    def make(read_privileged=None, *, later=10 * SETTLED):
        return ReadThroughFile(path, parse, read_privileged, clock=lambda: path.stat().st_ctime_ns + later)

    return make


def test_an_unchanged_file_is_parsed_once(make_file, parsed):
    file = make_file()
    assert file.load() is file.load()
    assert parsed == [b"one"]


def test_a_replaced_file_counts_at_once(make_file, parsed):
    file = make_file()
    file.load()
    new = file.path.with_name("new")
    new.write_bytes(b"two")
    new.rename(file.path)
    assert file.load() == [b"two"]
    assert parsed == [b"one", b"two"]


@pytest.mark.parametrize("later", [0, SETTLED - 1])
def test_a_change_that_leaves_no_trace_in_the_times_counts_too(make_file, later):
    """Same size, same inode, same times: within one tick of the file system's clock."""
    file = make_file(later=later)
    assert file.load() == [b"one"]
    before = file.path.stat()
    file.path.write_bytes(b"two")
    os.utime(file.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    file._seen = file._seen and (*file._seen[:4], file.path.stat().st_ctime_ns)  # as if in the same tick
    assert file.load() == [b"two"]


def test_the_same_content_is_the_same_object(make_file, parsed):
    file = make_file()
    first = file.load()
    os.utime(file.path, ns=(1, 1))
    assert file.load() is first
    assert parsed == [b"one"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused(tmp_path, make):
    make(tmp_path / "users")
    with pytest.raises(OSError, match=r"regular|directory"):
        ReadThroughFile(tmp_path / "users", bytes).load()


def test_a_file_is_bounded(make_file):
    file = make_file()
    file.path.write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(OSError, match="larger than 1048576 bytes"):
        file.load()


def test_a_missing_file_is_an_error_each_time(make_file):
    file = make_file()
    file.load()
    file.path.unlink()
    with pytest.raises(FileNotFoundError):
        file.load()


def test_a_file_that_this_user_may_not_read_is_read_by_the_helper(make_file, monkeypatch):
    def deny(*_):
        raise PermissionError(13, "denied")

    asked = []
    file = make_file(lambda path, limit: asked.append((path, limit)) or b"root's")
    file.load()
    monkeypatch.setattr("os.open", deny)
    assert file.load() is file.load() == [b"root's"]
    assert asked == [(file.path, MAX_BYTES + 1)] * 2
    with pytest.raises(PermissionError):
        make_file().load()
