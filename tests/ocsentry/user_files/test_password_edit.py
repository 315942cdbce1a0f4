# SPDX-License-Identifier: GPL-3.0-or-later
"""Our ``ocpasswd`` beside Debian's: the same commands leave the same file."""

from __future__ import annotations

import io
import re
import subprocess

import pytest

from ocsentry.cli.app import main
from ocsentry.cli.commands.ocpasswd import run_ocpasswd
from ocsentry.user_files.password_edit import PasswordEditError, lock_user, set_password
from ocsentry.user_files.password_file import parse_password_file
from vpn_frontend.auth.password.hashes import matches

COMMANDS = [
    (["-g", "staff,ops", "alice"], "one\none\n"),
    (["bob"], "two\n"),
    (["-g", "*", "alice"], "three\n"),
    (["-l", "bob"], ""),
    (["-l", "bob"], ""),
    (["-u", "alice"], ""),
    (["-u", "bob"], ""),
    (["-l", "alice"], ""),
    (["-d", "nobody"], ""),
    (["-l", "nobody"], ""),
    (["carol"], "\n"),  # no password
    (["-d", "bob"], ""),
    (["DOMAIN\\bob"], "four\n"),
]


def ours(path, arguments, given, monkeypatch):
    monkeypatch.setattr("sys.stdin", open_text(given))
    return run_ocpasswd(["-c", str(path), *arguments])


def open_text(given):
    return io.StringIO(given)


def theirs(path, arguments, given):
    command = ["ocpasswd", "-c", path, *arguments]
    return subprocess.run(command, input=given, text=True, capture_output=True, check=False, timeout=10).returncode


def without_salts(path):
    return re.sub(rb"\$5\$[0-9A-Za-z./]{16}\$[0-9A-Za-z./]{43}\n", b"HASH\n", path.read_bytes())


def test_the_same_commands_leave_the_same_file(tmp_path, monkeypatch):
    mine, reference = tmp_path / "mine", tmp_path / "reference"
    for arguments, given in COMMANDS:
        codes = ours(mine, arguments, given, monkeypatch), theirs(reference, arguments, given)
        assert codes[0] == codes[1], arguments
        assert without_salts(mine) == without_salts(reference), arguments
        assert mine.stat().st_mode == reference.stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "reference"]
    users = parse_password_file(mine.read_bytes()).users
    assert matches(users["alice"].password_hash, "three")
    assert matches(users["DOMAIN\\bob"].password_hash, "four")


def test_each_tool_edits_the_file_of_the_other(tmp_path, monkeypatch):
    path = tmp_path / "users"
    theirs(path, ["alice"], "one\n")
    path.write_bytes(path.read_bytes() + b"no colon\nbob:a, b :$5$x$y")
    assert ours(path, ["carol"], "two\n", monkeypatch) == 0
    assert theirs(path, ["-l", "carol"], "") == 0
    assert without_salts(path).splitlines()[0] == b"alice:*:HASH"
    assert path.read_bytes().splitlines()[1] == b"bob:a, b :$5$x$y", "as it was"
    assert path.read_bytes().splitlines()[2].startswith(b"carol:*:!$5$")


def test_a_file_that_another_tool_changes_is_left_alone(tmp_path, capsys, monkeypatch):
    path = tmp_path / "users"
    set_password(path, "alice", "one")
    before = path.read_bytes()
    (tmp_path / "users.tmp").touch()
    assert ours(path, ["alice"], "two\n", monkeypatch) == 1
    assert capsys.readouterr().err == f"file '{path}' is locked.\n"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("user", "groups"), [("a:b", "*"), ("a\nb", "*"), ("", "*"), ("a", "x:y"), ("a", "x\ny"), ("a" * 500, "*")]
)
def test_no_name_adds_a_field_or_a_line(tmp_path, user, groups):
    with pytest.raises(PasswordEditError):
        set_password(tmp_path / "users", user, "secret", groups)
    assert list(tmp_path.iterdir()) == []


def test_a_password_may_not_hold_a_nul(tmp_path):
    with pytest.raises(ValueError, match="NUL"):
        set_password(tmp_path / "users", "alice", "a\0b")


def test_mode_and_content_survive_an_edit(tmp_path):
    path = tmp_path / "users"
    set_password(path, "alice", "one")
    path.chmod(0o640)
    lock_user(path, "alice")
    assert path.stat().st_mode & 0o777 == 0o640


def test_without_a_file_there_is_nobody_to_lock(tmp_path, capsys):
    assert run_ocpasswd(["-c", str(tmp_path / "none"), "-l", "alice"]) == 1
    assert capsys.readouterr().err == f"Cannot open '{tmp_path}/none' for reading.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["-x", "alice"], ["-l", "-u", "alice"], ["alice", "bob"]])
def test_what_it_does_not_understand_fails(arguments, capsys):
    assert run_ocpasswd(arguments) == 1
    assert "usage: ocpasswd" in capsys.readouterr().err


def test_it_is_a_command_and_a_name_of_the_program(bare_command_line, tmp_path, monkeypatch):
    done = bare_command_line.run("ocpasswd", "-c", tmp_path / "users", "-g", "staff", "alice", stdin="one\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "users").read_text().startswith("alice:staff:$5$")
    assert bare_command_line.run("ocpasswd", "-c", tmp_path / "none", "-d", "alice").returncode == 1
    monkeypatch.setattr("sys.argv", ["/usr/bin/ocpasswd", "-c", str(tmp_path / "users"), "-d", "alice"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert (tmp_path / "users").read_text() == ""
