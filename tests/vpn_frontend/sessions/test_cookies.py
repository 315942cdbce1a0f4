# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.sessions.cookies import COOKIE_LENGTH, CookieJar, digest_of


def test_a_cookie_finds_its_holder_until_revoked():
    jar = CookieJar()
    text, digest = jar.issue("holder")
    other, _ = jar.issue("other")
    assert len(text) == COOKIE_LENGTH
    assert text != other
    assert jar.find(text) == "holder"
    jar.revoke(digest)
    assert jar.find(text) is None
    assert jar.find(other) == "other"
    jar.revoke(digest)
    assert len(jar) == 1


def test_the_jar_does_not_hold_the_cookie():
    jar = CookieJar()
    text, digest = jar.issue("holder")
    assert bytes.fromhex(text) != digest
    assert digest_of(text) == digest


def test_a_cookie_off_by_one_digit_is_none():
    jar = CookieJar()
    text, _ = jar.issue("holder")
    for index, digit in enumerate(text):
        assert jar.find(text[:index] + ("0" if digit != "0" else "1") + text[index + 1 :]) is None


@pytest.mark.parametrize(
    "text",
    ["", "0", "0" * 63, "0" * 65, "0" * 4096, "g" * 64, "\u0660" * 64, " " * 64, "00 " * 21 + "0", "0" * 63 + "\n"],
)
def test_what_can_be_no_cookie_is_not_decoded(text):
    assert digest_of(text) is None


@given(st.text(max_size=200))
def test_any_text_finds_nobody(text):
    jar = CookieJar()
    jar.issue("holder")
    assert jar.find(text) is None
