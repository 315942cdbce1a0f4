# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from vpn_frontend.auth.password.hash_cost import OWN_SCHEME, scheme_of
from vpn_frontend.auth.password.hashes import hash_password, matches

ARGON2ID = "$argon2id$v=19${}$" + "A" * 22 + "$" + "A" * 43
SALT = "abcdefgh$" + "x" * 43


@pytest.mark.parametrize(
    ("encoded", "scheme"),
    [
        (ARGON2ID.format("m=65536,t=3,p=4"), "$argon2id$v=19$m=65536,t=3,p=4"),
        ("$5$" + SALT, "$5$"),
        ("$6$rounds=656000$" + SALT, "$6$rounds=656000$"),
        ("$2b$12$" + "x" * 53, "$2b$12$"),
        ("$y$j9T$" + SALT, "$y$j9T$"),
        ("$gy$j9T$" + SALT, "$gy$j9T$"),
        ("$7$CU..../....abcdefgh$" + "x" * 43, "$7$CU..../...."),
    ],
)
def test_hashes_of_the_usual_cost_are_accepted(encoded, scheme):
    assert scheme_of(encoded) == scheme


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "secret",
        "$argon2id$x",
        "$1$abcdefgh$" + "x" * 22,
        ARGON2ID.format("m=65537,t=1,p=1"),
        ARGON2ID.format("m=65536,t=5,p=1"),
        ARGON2ID.format("m=8,t=9999,p=64"),
        ARGON2ID.format("m=8,t=1,p=2"),
        ARGON2ID.format("m=8,t=0,p=1"),
        ARGON2ID.format("m=19456,t=99999,p=1"),
        "$5$rounds=999999999$" + SALT,
        "$6$rounds=700001$" + SALT,
        "$2b$14$" + "x" * 53,
        "$2b$31$" + "x" * 53,
        "$y$jFT$" + SALT,
        "$y$jzz$" + SALT,
        "$y$j9T/1$" + SALT,
        "$7$zU..../....abcdefgh$" + "x" * 43,
        "$7$CUzzzz/....abcdefgh$" + "x" * 43,
        "$7$CU..../z...abcdefgh$" + "x" * 43,
    ],
)
def test_hashes_that_cost_too_much_are_refused_everywhere(encoded):
    assert scheme_of(encoded) is None
    assert not matches(encoded, "secret")


def test_our_own_hashes_are_accepted():
    assert scheme_of(hash_password("secret")) == OWN_SCHEME
