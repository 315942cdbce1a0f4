# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of users and groups from a directory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.auth.ldap.names import first_rdn_value, usable_name


@pytest.mark.parametrize(
    ("dn", "name"),
    [
        ("cn=staff,dc=example", "staff"),
        ("CN=a\\2Cb,dc=example", "a,b"),
        ("cn=a\\,b\\+c,dc=example", "a,b+c"),
        ("cn=\\C3\\A9t\\c3\\a9,dc=x", "été"),
        ("cn= staff ,dc=x", "staff"),
        ("cn=a+uid=b,dc=x", "a"),
        ("cn=#0401,dc=x", ""),
        ("staff", ""),
        ("", ""),
        ("cn=a\\00b,dc=x", ""),
        ("cn=\\FF,dc=x", ""),
        ("cn=x\\", "x\\"),
    ],
)
def test_the_first_value_of_a_distinguished_name(dn, name):
    assert first_rdn_value(dn) == name


@given(st.one_of(st.text(), st.binary()))
def test_a_usable_name_is_short_and_printable(value):
    name = usable_name(value)
    assert len(name.encode()) <= 64
    assert name.isprintable()


@given(st.text())
def test_any_text_has_a_first_value_or_none(dn):
    assert first_rdn_value(dn).isprintable()
