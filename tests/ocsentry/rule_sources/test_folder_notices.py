# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel tells of changes in folders, and its limits are told."""

from __future__ import annotations

import errno
import os
import resource

import pytest

from lab.timeouts import TIMEOUT
from ocsentry.rule_sources.folder_notices import FolderNotices


def write(path):
    path.write_text("{}")


def remove(path):
    write(path)
    path.unlink()


def rename(path):
    write(path)
    path.rename(path.with_name("other"))


@pytest.mark.asyncio
@pytest.mark.parametrize("change", [write, remove, rename])
async def test_a_change_in_a_folder_is_told_until_it_is_cleared(tmp_path, change):
    with FolderNotices([tmp_path]) as notices:
        assert not await notices.wait(0)
        change(tmp_path / "rules.json")
        assert await notices.wait(TIMEOUT)
        assert await notices.wait(TIMEOUT)
        notices.clear()
        assert not await notices.wait(0)


@pytest.mark.asyncio
async def test_of_an_open_file_only_the_end_is_told(tmp_path):
    path = tmp_path / "database"
    with path.open("w") as file, FolderNotices([tmp_path]) as notices:
        file.write("a row")
        file.flush()
        assert not await notices.wait(0)
        file.close()
        assert await notices.wait(TIMEOUT)


def test_a_folder_that_is_gone(tmp_path):
    with pytest.raises(FileNotFoundError):
        FolderNotices([tmp_path, tmp_path / "gone"])


def test_a_limit_of_the_kernel(tmp_path):
    free = os.open("/", os.O_RDONLY)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            FolderNotices([tmp_path])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
