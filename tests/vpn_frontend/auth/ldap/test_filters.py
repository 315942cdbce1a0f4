# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters with names from clients in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sansldap import FilterAnd, FilterEquality

from vpn_frontend.auth.ldap.filters import check_filter, fill_filter, follow_chain, member_attribute, name_attribute

TEMPLATE = "(&(objectClass=person)(uid=%u))"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_name_is_one_value_whatever_is_in_it(name):
    wanted = fill_filter(TEMPLATE, user=name)
    assert isinstance(wanted, FilterAnd)
    assert [str(part.filter_id) for part in wanted.filters] == ["3", "3"]
    assert wanted.filters[1] == FilterEquality("uid", name.encode())


@pytest.mark.parametrize("name", ["*", "a)(uid=*", "\\2a", "a\0b", "%u", "%d", "%"])
def test_special_characters_are_escaped(name):
    assert fill_filter("(uid=%u)", user=name, dn="x") == FilterEquality("uid", name.encode())


@pytest.mark.parametrize(
    "template",
    [
        "",
        "(uid=alice)",
        "(uid=%%u)",
        "(uid=%u",
        "uid=%u)x",
        "(uid=%x%u)",
        "(uid=%u%)",
        "(&(uid=%u)" + "(a=b)" * 70 + ")",
    ],
)
def test_templates_that_cannot_be_used_are_refused(template):
    with pytest.raises(ValueError, match=r"."):
        check_filter(template, ["%u"])


def test_attributes_of_the_placeholders():
    assert name_attribute("(&(mail=x%u)(|(sAMAccountName=%u)(mail=%u)))") == "sAMAccountName"
    assert name_attribute("(!(uid=%u))") == ""
    assert member_attribute("(&(objectClass=group)(member=%d))") == "member"
    assert member_attribute("(memberUid=%u)") == ""


def test_only_the_comparison_with_the_dn_becomes_transitive():
    wanted = fill_filter("(&(objectClass=group)(|(member=%d)(memberUid=%u)))", user="alice", dn="cn=a,dc=b")
    chained = str(follow_chain(wanted, "cn=a,dc=b"))
    assert chained == "(&(objectClass=group)(|(member:1.2.840.113556.1.4.1941:=cn=a,dc=b)(memberUid=alice)))"
