# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.fair_table import FairTable


@pytest.fixture
def table():
    return FairTable()


def test_a_flood_forgets_its_own_entries(table):
    table.add("quiet", 0, b"one")
    for number in range(1, 6):
        table.add(f"flood {number}", number, b"two")
    assert table.shrink(3) == [1, 2, 3]
    assert [table.get(key) for key in ("quiet", "flood 4", "flood 5")] == [0, 4, 5]


def test_from_many_sources_the_oldest_goes(table):
    for number in range(4):
        table.add(str(number), number, bytes([number]))
    assert table.shrink(3) == [0]


def test_what_is_replaced_or_removed_counts_for_its_source_no_more(table):
    table.add("moved", 0, b"one")
    table.add("other", 1, b"one")
    table.add("moved", 2, b"two")
    table.add("third", 3, b"two")
    assert table.pop("third") == 3
    assert table.pop("third") is None
    table.add("last", 4, b"one")
    assert table.oldest() == ("other", 1)
    assert table.shrink(2) == [1]
    assert (len(table), table.get("moved"), table.get("last")) == (2, 2, 4)
    assert sorted(table.shrink(0)) == [2, 4]
    assert table.oldest() is None


def test_one_source_alone_can_be_bounded(table):
    for number in range(4):
        table.add(str(number), number, b"one")
    table.add("other", 4, b"two")
    assert table.shrink_source(b"one", 2) == [0, 1]
    assert table.shrink_source(b"none", 0) == table.shrink_source(b"two", 1) == []
    assert len(table) == 3


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.booleans())), st.integers(0, 6))
def test_what_gives_way_is_the_oldest_of_a_source_with_the_most(steps, size):
    table, model = FairTable(), {}
    for key, source, add in steps:
        model.pop(key, None)
        if add:
            table.add(str(key), key, bytes([source]))
            model[key] = source
        else:
            table.pop(str(key))
    for removed in table.shrink(size):
        held = list(model.values())
        source = model[removed]
        assert held.count(source) == max(map(held.count, held))
        assert removed == next(key for key in model if model[key] == source)
        del model[removed]
    assert len(table) == len(model) <= max(size, 0)
    assert all(table.get(str(key)) == key for key in model)
