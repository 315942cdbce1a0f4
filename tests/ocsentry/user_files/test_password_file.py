# SPDX-License-Identifier: GPL-3.0-or-later
"""Users in ocserv's password file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocsentry.user_files.password_file import (
    MAX_PROBLEMS,
    OcpasswdError,
    OcpasswdUser,
    parse_ocpasswd,
    parse_password_file,
)

HASH = "$5$GgbyBJ3csCQt9IRv$/SFa62.iLlb4HBFeFw69oCIvpdVkGH1SeCokej.J486"


def test_users_groups_and_locks():
    text = f"# a comment\nalice:*:{HASH}\n\nbob:staff,admins:{HASH}\ncarol::!{HASH}\n"
    assert list(parse_ocpasswd(text)) == [
        OcpasswdUser("alice", (), HASH, enabled=True),
        OcpasswdUser("bob", ("staff", "admins"), HASH, enabled=True),
        OcpasswdUser("carol", (), HASH, enabled=False),
    ]


@pytest.mark.parametrize(
    "line",
    ["alice", "alice:*", ":*:" + HASH, f"alice:*:{HASH}:more", "alice:*:secret", "alice:*:$1$ab$cdef", "alice:*:!"],
)
def test_a_malformed_line_is_named(line):
    with pytest.raises(OcpasswdError, match="line 2"):
        list(parse_ocpasswd(f"bob:*:{HASH}\n{line}\n"))


def test_truncated_at_every_length():
    line = f"alice:staff:{HASH}"
    for length in range(1, len(line)):
        try:
            users = list(parse_ocpasswd(line[:length]))
        except OcpasswdError:
            continue
        assert users[0].password_hash == line[len("alice:staff:") : length]


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
