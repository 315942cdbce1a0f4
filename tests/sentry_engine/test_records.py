# SPDX-License-Identifier: GPL-3.0-or-later
"""Records behave as standard dataclasses do, except that nothing at run time keeps a frozen one from changing."""

import copy
import dataclasses
import pickle

import pytest

from sentry_engine.records import dataclass


class _Plain:
    name: str
    secret: str = dataclasses.field(default="", repr=False)
    noise: int = dataclasses.field(default=0, compare=False)
    parts: list["_Plain"] = dataclasses.field(default_factory=list)


@pytest.fixture(params=[{}, {"frozen": True}, {"eq": False}, {"frozen": True, "eq": False}])
def pair(request):
    """The same class by both decorators."""
    body = {name: value for name, value in vars(_Plain).items() if name not in {"__dict__", "__weakref__"}}
    return [
        decorator(slots=True, **request.param)(type("Made", (), {**body, "__qualname__": "Made"}))
        for decorator in (dataclass, dataclasses.dataclass)
    ]


def test_a_record_shows_compares_and_hashes_as_a_standard_dataclass(pair):
    told = []
    for made in pair:
        one, same, noisy = made("a", "hidden"), made("a", "hidden"), made("a", "hidden", 3)
        other, larger = made("b"), made("a", "hidden", parts=[made("c")])
        hashed = made.__hash__
        told.append(
            (
                (repr(one), repr(larger)),
                (one == one, one == same, one == noisy, one == other, one == larger, one == "a", one != same),
                hashed is None,
                hashed is object.__hash__,
                made.__slots__,
                made.__match_args__,
                dataclasses.asdict(larger),
                dataclasses.replace(one, name="c") == one,
                (copy.copy(one) == one, copy.deepcopy(larger) == larger),
            )
        )
    assert told[0] == told[1]


def test_equal_frozen_records_have_one_hash():
    @dataclass(frozen=True, slots=True)
    class Point:
        x: int
        y: int
        note: str = dataclasses.field(default="", compare=False)

    @dataclass(frozen=True, slots=True)
    class Nothing:
        pass

    assert len({Point(1, 2), Point(1, 2, "same"), Point(2, 1)}) == 2
    assert {Nothing(), Nothing()} == {Nothing()}


def test_methods_of_the_class_itself_stay():
    @dataclass(frozen=True, slots=True)
    class Own:
        name: str

        def __repr__(self):
            return "own"

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 7

    assert (repr(Own("a")), Own("a") == Own("b"), hash(Own("a"))) == ("own", True, 7)


@dataclass(frozen=True, slots=True)
class Kept:
    """Its own text."""

    name: str


@dataclass(slots=True)
class Node:
    inner: object = None


def test_records_are_pickled_inherited_and_keep_their_text():
    @dataclass(frozen=True, slots=True)
    class Wider(Kept):
        size: int = 0

    assert pickle.loads(pickle.dumps(Kept("a"))) == Kept("a")
    assert (Wider("a", 1) == Wider("a", 2), Wider("a") == Kept("a"), Kept.__doc__) == (False, False, "Its own text.")


def test_a_record_that_holds_itself_is_shown():
    node = Node()
    node.inner = node
    assert repr(node) == "Node(inner=...)"
