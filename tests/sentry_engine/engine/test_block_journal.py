# SPDX-License-Identifier: GPL-3.0-or-later
"""A reader of the journal misses no change, or is told to read all blocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentry_engine.engine import block_journal
from sentry_engine.engine.block_journal import MAX_NOTED, BlockJournal


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=5), max_size=20), st.integers(0, 20))
def test_no_change_is_missed(notes, known):
    before = block_journal.MAX_NOTED
    block_journal.MAX_NOTED = 8
    try:
        journal = BlockJournal()
        for version, rule_ids in enumerate(notes, 1):
            journal.note(version, rule_ids)
        changed = journal.since(known)
        every = {rule_id for rule_ids in notes[known:] for rule_id in rule_ids}
        assert changed is None or changed == every
        assert changed is not None or sum(map(len, notes)) > 8
    finally:
        block_journal.MAX_NOTED = before


def test_the_first_reader_reads_all():
    assert BlockJournal().since(-1) is None


def test_a_bulk_change_is_not_noted():
    journal = BlockJournal()
    journal.note(1, ["a"] * (MAX_NOTED + 1))
    assert journal.since(0) is None
    assert journal.since(1) == set()
