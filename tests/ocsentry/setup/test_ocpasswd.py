# SPDX-License-Identifier: GPL-3.0-or-later
"""Users in ocserv's password file."""

from __future__ import annotations

import pytest

from ocsentry.setup.ocpasswd import OcpasswdError, OcpasswdUser, parse_ocpasswd

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
