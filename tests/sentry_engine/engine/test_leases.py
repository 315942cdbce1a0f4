# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases: the count is exact for any order of admission, reconnection and release."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from sentry_engine import AdmissionRefused, ClientLimits, Reason
from sentry_engine.engine.leases import Lease, LeaseTable


def admit(table: LeaseTable, user: str = "ann", **more: object) -> Lease:
    return table.admit(user, "192.0.2.1", now=0.0, **more)


def refusal(table: LeaseTable, user: str = "ann", **more: object) -> Reason:
    with pytest.raises(AdmissionRefused) as caught:
        admit(table, user, **more)
    assert caught.value.text
    return caught.value.verdict.reason


class TestLimits:
    def test_the_newest_is_refused_by_default(self):
        table = LeaseTable(ClientLimits(max_same_clients=1))
        first = admit(table)
        assert refusal(table) is Reason.MAX_SAME_CLIENTS
        admit(table, "bob")
        assert table.release(first)
        admit(table)

    def test_all_clients_together_are_limited(self):
        table = LeaseTable(ClientLimits(max_clients=2, max_same_clients=0))
        admit(table)
        admit(table)
        assert refusal(table, "bob") is Reason.MAX_CLIENTS

    @pytest.mark.parametrize(
        ("user", "groups", "own", "allowed"),
        [
            ("ann", (), None, 2),
            ("ann", ("staff",), None, 3),
            ("ann", ("staff", "admins"), None, 5),
            ("ann", ("unknown",), None, 2),
            ("vip", ("staff",), None, 4),
            ("vip", ("staff",), 1, 1),
        ],
    )
    def test_the_users_own_limit_beats_the_groups_and_that_the_general(self, user, groups, own, allowed):
        limits = ClientLimits(max_same_clients=2, per_group={"staff": 3, "admins": 5}, per_user={"vip": 4})
        table = LeaseTable(limits)
        for _ in range(allowed):
            admit(table, user, groups=groups, limit=own)
        assert refusal(table, user, groups=groups, limit=own) is Reason.MAX_SAME_CLIENTS

    def test_none_is_no_limit(self):
        table = LeaseTable(ClientLimits(max_same_clients=1, per_group={"open": 0, "staff": 1}))
        for _ in range(20):
            admit(table, groups=("open", "staff"))

    def test_limits_are_checked(self):
        with pytest.raises(ValueError, match="0"):
            ClientLimits(max_clients=-1)
        with pytest.raises(ValueError, match="kick"):
            ClientLimits(on_excess="kick")


class TestExcess:
    def test_the_oldest_goes(self):
        table = LeaseTable(ClientLimits(max_same_clients=2, on_excess="kick_oldest"))
        first, second = admit(table), admit(table)
        third = admit(table)
        assert third.evicts == (first.id,)
        assert table.list("ann") == [second, third]
        assert not table.release(first)

    def test_kicking_the_own_oldest_makes_room_in_a_full_server(self):
        table = LeaseTable(ClientLimits(max_clients=1, max_same_clients=1, on_excess="kick_oldest"))
        admit(table)
        assert refusal(table, "bob") is Reason.MAX_CLIENTS
        assert admit(table).evicts

    def test_only_the_same_device_is_replaced(self):
        table = LeaseTable(ClientLimits(max_same_clients=2, on_excess="replace_same_device"))
        phone, laptop = admit(table, device="phone"), admit(table, device="laptop")
        assert refusal(table, device="tablet") is Reason.MAX_SAME_CLIENTS
        assert refusal(table) is Reason.MAX_SAME_CLIENTS
        assert admit(table, device="phone").evicts == (phone.id,)
        assert laptop in table.list("ann")

    def test_a_lowered_limit_kicks_as_many_as_it_takes(self):
        table = LeaseTable(ClientLimits(max_same_clients=3, on_excess="kick_oldest"))
        ids = [admit(table).id for _ in range(3)]
        assert admit(table, limit=1).evicts == tuple(ids)

    def test_a_refusal_changes_nothing(self):
        table = LeaseTable(ClientLimits(max_clients=1, max_same_clients=1, on_excess="kick_oldest"))
        lease = admit(table)
        refusal(table, "bob")
        assert table.list() == [lease]


class TestSessions:
    def test_a_session_that_comes_back_is_the_same_client(self):
        table = LeaseTable(ClientLimits(max_same_clients=1))
        first = admit(table, session="s")
        again = table.admit("ann", "198.51.100.1", now=5.0, session="s")
        assert (again.id, again.since, again.address) == (first.id, first.since, "198.51.100.1")
        assert len(table.list()) == 1

    def test_the_teardown_of_the_connection_left_behind_changes_nothing(self):
        table = LeaseTable(ClientLimits(max_same_clients=1))
        first = admit(table, session="s")
        again = admit(table, session="s")
        assert not table.release(first)
        assert table.list() == [again]
        assert table.release(again)
        assert not table.release(again)
        assert table.list() == []

    def test_another_user_cannot_come_back_as_it(self):
        table = LeaseTable(ClientLimits(max_clients=1))
        admit(table, session="s")
        assert refusal(table, "eve", session="s") is Reason.MAX_CLIENTS


class TestThreads:
    def test_a_rush_lets_in_exactly_the_limit(self):
        table = LeaseTable(ClientLimits(max_clients=50, max_same_clients=3))

        def come(number: int) -> Lease | None:
            try:
                return admit(table, f"user-{number % 10}")
            except AdmissionRefused:
                return None

        with ThreadPoolExecutor(8) as pool:
            leases = [lease for lease in pool.map(come, range(400)) if lease]
        assert len(leases) == len(table.list()) == 30
        with ThreadPoolExecutor(8) as pool:
            ended = list(pool.map(table.release, leases * 3))
        assert sum(ended) == 30
        assert table.list() == []


class LeaseMachine(RuleBasedStateMachine):
    """Against a model: a list of (lease id, user, device, session, generation)."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.limits = ClientLimits(max_clients=4, max_same_clients=2, on_excess="kick_oldest")
        self.table = LeaseTable(self.limits)
        self.model: list[Lease] = []

    @rule(target=leases, user=st.sampled_from("abc"), session=st.none() | st.sampled_from("xy"))
    def admit(self, user: str, session: str | None) -> Lease | None:
        held = [lease for lease in self.model if lease.user == user]
        known = next((lease for lease in held if session and lease.session == session), None)
        gone = held[: max(0, len(held) - 1)] if known is None else []
        fits = known is not None or len(self.model) - len(gone) < 4
        try:
            lease = self.table.admit(user, "::1", now=0.0, session=session)
        except AdmissionRefused as refused:
            assert (fits, refused.verdict.reason) == (False, Reason.MAX_CLIENTS)  # noqa: PT017
            return None
        assert fits
        assert lease.evicts == tuple(old.id for old in gone)
        if known is not None:
            self.model[self.model.index(known)] = lease
        else:
            self.model = [old for old in self.model if old not in gone] + [lease]
        return lease

    @rule(lease=leases)
    def release(self, lease: Lease | None) -> None:
        if lease is not None:
            assert self.table.release(lease) is (lease in self.model)
            self.model = [held for held in self.model if held != lease]

    @invariant()
    def agrees(self) -> None:
        assert self.table.list() == self.model
        for user in "abc":
            assert self.table.list(user) == [lease for lease in self.model if lease.user == user]
            assert len(self.table.list(user)) <= 2


TestLeaseMachine = LeaseMachine.TestCase
TestLeaseMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
