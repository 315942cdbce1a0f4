# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's own right, by its own clock."""

from __future__ import annotations

from admin_api.fleet.membership.lease import Identity, Lease


class TestLease:
    def test_the_right_ends_a_second_before_the_others_count_the_node_as_dead(self):
        lease = Lease(10.0)
        assert not lease.holds(0.0)
        lease.join(Identity(1, 1), 100.0)
        assert lease.is_heard(108.9)
        assert not lease.holds(100.0), "it has to assert what it carries first"
        lease.asserted = True
        assert lease.holds(108.9)
        assert not lease.holds(109.0)
        lease.extend(105.0, 105.1)
        assert lease.holds(113.9)
        lease.extend(104.0, 105.2)  # an earlier beat takes nothing away
        assert lease.holds(113.9)

    def test_an_interruption_has_to_be_followed_by_an_assertion(self):
        lease = Lease(10.0)
        lease.join(Identity(1, 1), 100.0)
        lease.asserted = True
        lease.extend(109.0, 109.1)
        assert lease.is_heard(110.0)
        assert not lease.holds(110.0)

    def test_so_has_one_that_a_late_answer_ends(self):
        lease = Lease(10.0)
        lease.join(Identity(1, 1), 100.0)
        lease.asserted = True
        lease.extend(108.9, 109.3)  # sent before the interruption
        assert lease.is_heard(110.0)
        assert not lease.holds(110.0)

    def test_the_end_is_the_end(self):
        lease = Lease(10.0)
        lease.join(Identity(1, 1), 100.0)
        lease.asserted = True
        lease.end()
        assert not lease.is_heard(100.0)
        assert not lease.holds(100.0)
