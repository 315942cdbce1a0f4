# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.auth.certificate.identity import MAX_NAME_BYTES
from vpn_frontend.auth.gssapi.principal import PrincipalError, user_of

OWN = "EXAMPLE.ORG"


@pytest.mark.parametrize(
    ("principal", "realms", "user"),
    [
        ("alice@EXAMPLE.ORG", (), "alice"),
        ("alice@EXAMPLE.ORG", (OWN, "OTHER.ORG"), "alice"),
        ("alice@OTHER.ORG", (OWN, "OTHER.ORG"), "alice@OTHER.ORG"),
        ("alice@OTHER.ORG", ("OTHER.ORG",), "alice@OTHER.ORG"),
        ("j.döe@EXAMPLE.ORG", (), "j.döe"),
    ],
    ids=["own", "own of two", "other of two", "other alone", "not ascii"],
)
def test_users_of_the_servers_realm_are_named_without_it(principal, realms, user):
    assert user_of(principal, OWN, realms) == user


@pytest.mark.parametrize(
    ("principal", "realms", "reason"),
    [
        ("alice@OTHER.ORG", (), "foreign_realm"),
        ("alice@EXAMPLE.ORG", ("OTHER.ORG",), "foreign_realm"),
        ("alice@example.org", (), "foreign_realm"),
        ("alice/admin@EXAMPLE.ORG", (), "principal_no_user"),
        ("host/server@EXAMPLE.ORG", (), "principal_no_user"),
        ("alice", (), "principal_malformed"),
        ("@EXAMPLE.ORG", (), "principal_malformed"),
        ("alice@", (), "principal_malformed"),
        ("alice\\@OTHER.ORG@EXAMPLE.ORG", (), "principal_malformed"),
        ("alice@OTHER.ORG@EXAMPLE.ORG", (), "principal_malformed"),
        (" alice@EXAMPLE.ORG", (), "principal_malformed"),
        ("al\nice@EXAMPLE.ORG", (), "principal_malformed"),
        ("al\0ice@EXAMPLE.ORG", (), "principal_malformed"),
        (f"{'a' * (MAX_NAME_BYTES + 1)}@EXAMPLE.ORG", (), "principal_too_long"),
    ],
)
def test_what_is_no_user_is_refused_with_its_reason(principal, realms, reason):
    with pytest.raises(PrincipalError) as refused:
        user_of(principal, OWN, realms)
    assert refused.value.reason == reason


@given(st.text(), st.text(max_size=20))
def test_a_name_is_given_or_refused(principal, realm):
    try:
        user = user_of(principal, realm, ())
    except PrincipalError:
        return
    assert principal == f"{user}@{realm}"
    assert user.isprintable()
    assert 0 < len(user.encode()) <= MAX_NAME_BYTES
