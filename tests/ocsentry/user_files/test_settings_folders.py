# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from ocsentry.user_files.file_thread import FileThread
from ocsentry.user_files.settings_folders import REFUSED, Folder, SettingsFolders
from vpn_frontend.ports import SettingsFileError
from vpn_frontend.testing import MemoryEvents


@pytest.fixture
def events():
    return MemoryEvents()


@pytest.fixture
def folders(tmp_path, events):
    (tmp_path / "users").mkdir()
    (tmp_path / "groups").mkdir()
    thread = FileThread()
    yield SettingsFolders(
        Folder(tmp_path / "users", tmp_path / "user"), Folder(tmp_path / "groups", tmp_path / "group"), thread, events
    )
    thread.close()


@pytest.mark.asyncio
async def test_files_are_read_at_each_login(folders, tmp_path, events):
    assert await folders.read("alice", "staff") == ()
    (tmp_path / "groups" / "staff").write_text("mtu = 1300\ndns = 192.0.2.1\n")
    assert [origin for origin, _ in await folders.read("alice", "staff")] == ["group staff (file)"]
    (tmp_path / "users" / "alice").write_text("mtu = 1200\n")
    (own, mine), (group, theirs) = await folders.read("alice", "staff")
    assert (own, mine) == ("user alice (file)", {"network": {"mtu": 1200}})
    assert (group, theirs["network"]["mtu"]) == ("group staff (file)", 1300)
    (tmp_path / "users" / "alice").unlink()
    assert len(await folders.read("alice", "staff")) == 1
    assert await folders.read("alice", "") == ()
    assert events.of("user_file_refused") == []


@pytest.mark.asyncio
async def test_those_without_a_file_get_the_default(folders, tmp_path):
    (tmp_path / "user").write_text("mtu = 1250\n")
    (tmp_path / "group").write_text("dpd = 20\n")
    layers = await folders.read("alice", "staff")
    assert layers == (
        ("user alice (file)", {"network": {"mtu": 1250}}),
        ("group staff (file)", {"session": {"dpd": 20}}),
    )
    (tmp_path / "users" / "alice").write_text("")
    assert await folders.read("alice", "") == (), "an empty file is one: the default is for those without"


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["..", ".", "../secret", "a/b", "/etc/passwd", "x\0y"])
async def test_names_that_are_no_file_names_are_refused(folders, tmp_path, events, name):
    (tmp_path / "secret").write_text("mtu = 1000\n")
    with pytest.raises(SettingsFileError, match=REFUSED):
        await folders.read(name, "")
    [event] = events.of("user_file_refused")
    assert "is no name of a file" in event["problem"]
    assert await folders.read("alice", "") == (), "others are not disturbed"
    assert await folders.read("DOMAIN\\alice", "") == ()


def make_link(path):
    path.symlink_to("/etc/passwd")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (make_link, "is a link"),
        (os.mkfifo, "is not a regular file"),
        (os.mkdir, "is not a regular file"),
        (lambda path: path.write_text("route = x\n"), "line 1: route"),
        (lambda path: path.write_bytes(b"#" * 70_000), "more than"),
    ],
    ids=["link", "fifo", "folder", "malformed", "large"],
)
async def test_what_is_no_file_of_settings_refuses_the_login(folders, tmp_path, events, make, problem):
    make(tmp_path / "users" / "alice")
    with pytest.raises(SettingsFileError):
        await folders.read("alice", "staff")
    [event] = events.of("user_file_refused")
    assert event["file"] == str(tmp_path / "users" / "alice")
    assert problem in event["problem"]
    assert await folders.read("bob", "staff") == ()


@pytest.mark.asyncio
async def test_remarks_are_told_once_for_each_change(folders, tmp_path, events):
    file = tmp_path / "users" / "alice"
    file.write_text("banner = x\n")
    await folders.read("alice", "")
    await folders.read("alice", "")
    file.write_text("\nbanner = x\n")
    await folders.read("alice", "")
    assert [event["problem"][:6] for event in events.of("user_file_refused")] == ["line 1", "line 2"]


@pytest.mark.asyncio
async def test_a_client_profile_is_read_with_its_file(folders, tmp_path, events):
    (tmp_path / "profile.xml").write_text("<AnyConnectProfile/>")
    (tmp_path / "users" / "alice").write_text(f"user-profile = {tmp_path}/profile.xml\n")
    assert await folders.read("alice", "") == (("user alice (file)", {"profile": "<AnyConnectProfile/>"}),)
    (tmp_path / "profile.xml").unlink()
    with pytest.raises(SettingsFileError):
        await folders.read("alice", "")
    assert "user-profile" in events.of("user_file_refused")[0]["problem"]
