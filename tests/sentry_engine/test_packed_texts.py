# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that are packed once: the answers of ``pack_address``, and a bound on how many are kept."""

from __future__ import annotations

import ipaddress

import pytest

from sentry_engine.addresses import MAX_REMEMBERED, AddressError, PackedTexts, pack_address

TEXTS = ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "fe80::1%eth0")


@pytest.fixture
def texts() -> PackedTexts:
    return PackedTexts()


def test_a_text_packs_the_same_the_second_time(texts):
    for _ in range(2):
        assert texts.pack_each(TEXTS) == [pack_address(text) for text in TEXTS]
    assert set(texts) == set(TEXTS)


def test_what_is_no_address_is_not_kept(texts):
    for text in ("", "192.0.2", "1" * 10_000, "fe80::1%" + "x" * 100):
        with pytest.raises(AddressError):
            texts.remember(text)
    assert not texts


def test_each_has_its_place_beside_what_is_no_address(texts):
    objects = [ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1")]
    assert texts.pack_each([*TEXTS, *objects]) == [pack_address(one) for one in (*TEXTS, *objects)]
    assert texts.pack_each(["x", *objects, TEXTS[0], "y"]) == [
        None,
        *(pack_address(one) for one in (*objects, TEXTS[0])),
        None,
    ]
    assert texts.pack_each([]) == []


def test_what_is_neither_text_nor_address_is_a_mistake_of_the_caller(texts):
    with pytest.raises(TypeError, match="not int"):
        texts.pack_each([7])


def test_no_flood_of_addresses_makes_it_grow(texts):
    for number in range(2 * MAX_REMEMBERED + 1):
        texts.remember(str(ipaddress.IPv4Address(number)))
        assert len(texts) <= MAX_REMEMBERED
    assert texts.pack_each(["192.0.2.1"]) == [pack_address("192.0.2.1")]
