# SPDX-License-Identifier: GPL-3.0-or-later
import secrets
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.sessions.cookies import CookieJar, digest_of
from vpn_frontend.sessions.sealed_cookies import (
    KEY_SIZE,
    MAX_KEYS,
    MAX_SIZE,
    MIN_SIZE,
    KeyRing,
    SealedLogin,
    SealError,
    decode,
    text_length,
)

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
KEYS = {3: bytes(range(32)), 4: bytes(range(1, 33))}
LOGIN = SealedLogin(bytes(range(16)), 1_764_000_000, 1_764_086_400, "alice.smith@example.org", "staff", "vpn.example")


@pytest.fixture
def ring():
    return KeyRing(KEYS, 4)


@given(
    st.builds(
        SealedLogin,
        st.binary(min_size=16, max_size=16),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**64 - 1),
        *[st.text(max_size=60)] * 3,
    )
)
def test_what_was_sealed_is_read_again(login):
    text = KeyRing(KEYS, 4).seal(login)
    assert KeyRing(KEYS, 3).open(text) == login
    assert text_length(MIN_SIZE) <= len(text) <= text_length(MAX_SIZE)
    assert set(text) <= set(ALPHABET)


def test_two_cookies_of_one_login_differ(ring):
    first, second = ring.seal(LOGIN), ring.seal(LOGIN)
    assert first != second
    assert digest_of(first) != digest_of(second)


def test_each_flipped_bit_is_refused(ring):
    text = ring.seal(LOGIN)
    for index, letter in enumerate(text):
        for bit in range(6):
            other = ALPHABET[ALPHABET.index(letter) ^ (1 << bit)]
            assert ring.open(text[:index] + other + text[index + 1 :]) is None, (index, bit)


def test_each_cut_and_each_longer_text_is_refused(ring):
    text = ring.seal(LOGIN)
    for end in range(len(text)):
        assert ring.open(text[:end]) is None
        assert ring.open(text[end + 1 :]) is None
    for more in ("A", "=", "==", "\n", " ", "A" * 4, text):
        assert ring.open(text + more) is None


def test_other_spellings_of_a_cookie_are_refused(ring):
    text = next(text for text in iter(lambda: ring.seal(LOGIN), None) if "-" in text or "_" in text)
    assert ring.open(text.replace("-", "+").replace("_", "/")) is None
    assert ring.open(text + "=" * (-len(text) % 4)) is None or len(text) % 4 == 0


def test_a_cookie_of_another_fleet_is_refused(ring):
    other = KeyRing({kid: secrets.token_bytes(KEY_SIZE) for kid in KEYS}, 4)
    assert ring.open(other.seal(LOGIN)) is None


def test_a_retired_key_opens_nothing(ring):
    old = KeyRing(KEYS, 3).seal(LOGIN)
    assert ring.open(old) == LOGIN
    ring.retire(3)
    assert ring.open(old) is None
    assert ring.open(ring.seal(LOGIN)) == LOGIN
    assert ring.kids == {4}


def test_the_current_key_is_never_retired(ring):
    with pytest.raises(SealError, match="key 4"):
        ring.retire(4)
    assert ring.open(ring.seal(LOGIN)) == LOGIN


@pytest.mark.parametrize(
    ("keys", "current"),
    [
        ({}, 0),
        ({1: bytes(32)}, 2),
        ({1: bytes(31)}, 1),
        ({256: bytes(32)}, 256),
        ({-1: bytes(32)}, -1),
        ({kid: bytes(32) for kid in range(MAX_KEYS + 1)}, 0),
    ],
)
def test_impossible_keys_change_nothing(ring, keys, current):
    text = ring.seal(LOGIN)
    with pytest.raises(SealError):
        ring.replace(keys, current)
    assert ring.open(text) == LOGIN
    with pytest.raises(SealError):
        KeyRing(keys, current)


@pytest.mark.parametrize(
    "login",
    [
        replace(LOGIN, session=b"short"),
        replace(LOGIN, user="x" * 256),
        replace(LOGIN, group="\u00e9" * 128),
        replace(LOGIN, logged_in_at=-1),
        replace(LOGIN, hard_end=2**64),
    ],
)
def test_a_login_that_does_not_fit_is_not_sealed(ring, login):
    with pytest.raises(SealError):
        ring.seal(login)


@given(st.text(max_size=1300) | st.text(ALPHABET, min_size=90, max_size=140).map(lambda text: "AQ" + text))
def test_any_text_opens_nothing(text):
    assert KeyRing(KEYS, 4).open(text) is None


def test_a_jar_of_sealed_cookies_keeps_their_digest(ring):
    jar = CookieJar(ring.seal)
    text, digest = jar.issue(LOGIN)
    assert jar.find(text) == LOGIN
    assert digest_of(text) == digest
    assert decode(text) != digest
    jar.revoke(digest)
    assert jar.find(text) is None
