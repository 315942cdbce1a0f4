# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets a place, and who leaves for it."""

from __future__ import annotations

from admin_api.connections.places import Places


class Guest:
    def __init__(self, *, waiting=True):
        self.waiting, self.left = waiting, False

    def waits_for_peer(self):
        return self.waiting

    def leave(self):
        self.left = True


def test_when_full_the_oldest_of_the_largest_source_leaves():
    places = Places(4, 3)
    guests = [Guest() for _ in range(5)]
    for guest, source in zip(guests, "abbab", strict=True):
        assert places.take(source, guest)
    assert [guest.left for guest in guests] == [True, False, False, False, False]
    assert places.take("c", Guest())
    assert [guest.left for guest in guests] == [True, True, False, False, False]
    assert len(places) == 4


def test_one_whose_request_is_answered_stays():
    places = Places(2, 2)
    busy, silent, last = Guest(waiting=False), Guest(), Guest(waiting=False)
    assert places.take("a", busy)
    assert places.take("b", silent)
    assert places.take("c", last)
    assert (busy.left, silent.left) == (False, True)
    assert not places.take("d", Guest())
    places.release(last)
    assert places.take("d", Guest())


def test_a_source_beyond_its_share_displaces_only_itself():
    places = Places(10, 1)
    first, other = Guest(waiting=False), Guest()
    assert places.take("a", first)
    assert places.take("b", other)
    assert not places.take("a", Guest())
    assert not other.left
    first.waiting = True
    assert places.take("a", Guest())
    assert first.left


def test_releasing_twice_frees_one_place():
    places = Places(1, 1)
    guest = Guest()
    places.take("a", guest)
    places.release(guest)
    places.release(guest)
    assert len(places) == 0
    assert places.take("a", Guest())
