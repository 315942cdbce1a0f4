# SPDX-License-Identifier: GPL-3.0-or-later
from threading import Thread

import pytest

from lab.timeouts import TIMEOUT
from vpn_frontend.auth.password.check_queue import CheckQueue


@pytest.fixture
def queue():
    return CheckQueue()


def fill(queue, *entries):
    for rank, name in entries:
        queue.put((rank,), name)


def test_the_lowest_rank_comes_first_and_in_it_who_came_first(queue):
    fill(queue, (2, "a"), (1, "b"), (2, "c"), (1, "d"))
    assert [queue.take() for _ in range(4)] == ["b", "d", "a", "c"]


def test_the_last_of_the_highest_rank_leaves_for_a_lower_one(queue):
    fill(queue, (2, "a"), (1, "b"), (2, "c"))
    assert [queue.displace((1,)) for _ in range(3)] == ["c", "a", None]
    assert queue.take() == "b"


@pytest.mark.parametrize("rank", [2, 3])
def test_nobody_leaves_for_an_equal_or_higher_rank(queue, rank):
    fill(queue, (2, "a"))
    assert queue.displace((rank,)) is None
    assert CheckQueue().displace((0,)) is None


def test_what_waits_is_taken_before_the_end(queue):
    fill(queue, (1, "a"))
    queue.close()
    assert [queue.take(), queue.take()] == ["a", None]


def test_all_that_wait_are_told_of_the_end(queue):
    taken = []
    threads = [Thread(target=lambda: taken.append(queue.take())) for _ in range(3)]
    for thread in threads:
        thread.start()
    queue.put((0,), "a")
    queue.close()
    for thread in threads:
        thread.join(TIMEOUT)
    assert sorted(taken, key=str) == [None, None, "a"]
