# SPDX-License-Identifier: GPL-3.0-or-later
"""Users in ocserv's password file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocsentry.user_files.password_file import (
    MAX_PROBLEMS,
    OcpasswdUser,
    parse_for_import,
    parse_password_file,
)

HASH = "$5$GgbyBJ3csCQt9IRv$/SFa62.iLlb4HBFeFw69oCIvpdVkGH1SeCokej.J486"


def test_users_groups_and_locks():
    text = f"# a comment\nalice:*:{HASH}\n\nbob:staff,admins:{HASH}\ncarol::!{HASH}\n"
    read = parse_for_import(text.encode())
    assert list(read.users.values()) == [
        OcpasswdUser("alice", (), HASH, enabled=True),
        OcpasswdUser("bob", ("staff", "admins"), HASH, enabled=True),
        OcpasswdUser("carol", (), HASH, enabled=False),
    ]
    assert read.problems == ()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("alice", "not name:groups:hash"),
        ("alice:*", "not name:groups:hash"),
        (":*:" + HASH, "not name:groups:hash"),
        (f"alice:*:{HASH}:more", "not name:groups:hash"),
        ("alice:*:secret", "user 'alice'"),
        ("alice:*:$1$ab$cdef", "user 'alice'"),
        ("alice:*:!", "user 'alice' has no password"),
        (f"BOB:*:{HASH}", "user 'BOB' is in line 1 already"),
        (f"{'x' * 65}:*:{HASH}", "more than 64 characters"),
        (f"..:*:{HASH}", "user '..'"),
        (f"bob\t:*:{HASH}", r"user 'bob\t'"),
    ],
)
def test_an_import_leaves_out_a_line_and_names_it(line, words):
    read = parse_for_import(f"bob:*:{HASH}\n{line}\ncarol:*:{HASH}\n".encode())
    assert list(read.users) == ["bob", "carol"]
    assert [(problem.startswith("line 2: "), words in problem) for problem in read.problems] == [(True, True)]


@pytest.mark.parametrize("name", ["DOMAIN\\bob", "a/b", "two words", ".dot", "ünï", "a@b", "100%"])
def test_names_of_directories_can_be_imported(name):
    assert list(parse_for_import(f"{name}:*:{HASH}\n".encode()).users) == [name]


def test_truncated_at_every_length():
    line = f"alice:staff:{HASH}"
    for length in range(1, len(line)):
        for user in parse_for_import(line[:length].encode()).users.values():
            assert user.password_hash == line[len("alice:staff:") : length]


def test_a_server_skips_what_it_cannot_use_and_says_so():
    lines = [
        f"alice:staff, ops ,staff:{HASH}",
        "broken",
        f"alice::!{HASH}",  # the first of a name counts
        "code:*:",
        f"eve:*:{HASH}:more",
        "old:*:$1$ab$cdef",
        f"{'x' * 600}:*:{HASH}",
        "",
        f"DOMAIN\\bob ::!{HASH}",
    ]
    loaded = parse_password_file("\n".join(lines).encode() + b"\n\xff:*:x\n")
    assert loaded.users == {
        "alice": OcpasswdUser("alice", ("staff", "ops"), HASH, enabled=True),
        "code": OcpasswdUser("code", (), "", enabled=True),
        "DOMAIN\\bob ": OcpasswdUser("DOMAIN\\bob ", (), HASH, enabled=False),
    }
    assert [problem.split(":")[0] for problem in loaded.problems] == ["line 2", "line 5", "line 6", "line 7", "line 10"]
    assert HASH not in repr(loaded)


def test_the_problems_of_a_file_are_bounded():
    loaded = parse_password_file(b"broken\n" * 1000)
    assert len(loaded.problems) == MAX_PROBLEMS + 1
    assert loaded.problems[-1] == "992 more lines that cannot be used"


@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_an_error(data):
    for name, user in parse_password_file(data).users.items():
        assert name == user.name != ""
        assert ":" not in name + user.password_hash + "".join(user.groups)
