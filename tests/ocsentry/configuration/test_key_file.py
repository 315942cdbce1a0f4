# SPDX-License-Identifier: GPL-3.0-or-later
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from ocsentry.configuration.key_file import KEY_SIZE, KeyFileError, make_key, read_key


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path):
    path = tmp_path / "totp.key"
    assert read_key(path) is None
    key = make_key(path)
    assert len(key) == KEY_SIZE
    assert path.stat().st_mode & 0o777 == 0o600
    assert make_key(path) == read_key(path) == key
    assert [*tmp_path.iterdir()] == [path]


def test_processes_that_make_it_at_once_get_one_key(tmp_path, monkeypatch):
    names = iter(range(100))
    monkeypatch.setattr(os, "getpid", lambda: next(names))  # a thread stands for a process
    with ThreadPoolExecutor(8) as pool:
        keys = {*pool.map(make_key, [tmp_path / "totp.key"] * 32)}
    assert len(keys) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_may_read_is_refused(tmp_path, mode):
    path = tmp_path / "totp.key"
    make_key(path)
    path.chmod(mode)
    for use in (read_key, make_key):
        with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
            use(path)


@pytest.mark.parametrize("text", [b"", b"xyz", b"00" * 31, b"00" * 33, b"\xff" * 64, b"00" * 10_000])
def test_what_is_no_key_is_refused(tmp_path, text):
    path = tmp_path / "totp.key"
    path.touch(0o600)
    path.write_bytes(text)
    with pytest.raises(KeyFileError, match="not a key of 64 hexadecimal digits"):
        make_key(path)


def test_a_place_where_none_can_be_made(tmp_path):
    with pytest.raises(KeyFileError, match="cannot be made"):
        make_key(tmp_path / "missing" / "totp.key")
    with pytest.raises(KeyFileError, match="cannot be read"):
        read_key(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_makes_the_key_for_the_owner_of_the_folder(tmp_path):
    os.chown(tmp_path, 33, 33)
    make_key(tmp_path / "totp.key")
    facts = (tmp_path / "totp.key").stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o777) == (33, 33, 0o600)
