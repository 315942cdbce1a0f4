# SPDX-License-Identifier: GPL-3.0-or-later
"""Packed names are the same sequence, and a replaced policy does not keep a string of each of its rules."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry_engine import Engine, Policy
from sentry_engine.cores.native.core import NativeCore
from sentry_engine.cores.packed_names import PackedNames

RULES = 20_000


@given(st.lists(st.text(max_size=5), max_size=30))
def test_they_are_the_same_sequence(names):
    packed = PackedNames(names)
    assert list(packed) == names
    assert [packed[at] for at in range(-len(names), len(names))] == [*names, *names]
    assert packed[1:-1] == names[1:-1]
    for beyond in (len(names), -len(names) - 1):
        with pytest.raises(IndexError):
            packed[beyond]


def small_policy():
    return Policy.from_document({"wolfsentry": {"version": "1.6.3", "rules": []}})


def large_policy():
    rules = [
        {"id": f"rule-{number}", "type": "blacklist", "remote_addr": f"10.{number >> 8}.{number & 255}.0/24"}
        for number in range(RULES)
    ]
    return Policy.from_document({"wolfsentry": {"version": "1.6.3", "rules": rules}})


def test_a_replaced_policy_leaves_no_string_of_each_rule():
    with Engine(large_policy(), core=NativeCore()) as engine:
        assert engine.decide("connect", "10.0.7.1").rule_id == "rule-7"
        engine.swap(small_policy())
        gc.collect()
        kept = [
            names
            for names in gc.get_objects()
            if isinstance(names, tuple | list) and len(names) >= RULES and "rule-7" in names[:10]
        ]
        assert kept == []
