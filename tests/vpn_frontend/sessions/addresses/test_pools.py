# SPDX-License-Identifier: GPL-3.0-or-later
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vpn_frontend.sessions.addresses import pool as pool_module
from vpn_frontend.sessions.addresses.pool import AddressPool, InnerAddresses, NoAddressError
from vpn_frontend.sessions.addresses.pools import AddressPools


@pytest.mark.parametrize("length", [24, 28, 29, 30])
def test_every_free_address_is_given_before_one_is_refused(length):
    network = IPv4Network(f"10.0.0.0/{length}")
    pool = AddressPool(network)
    given = [pool.take(f"user{index}") for index in range(pool.capacity)]
    assert sorted(given) == sorted(set(network.hosts()) - {pool.server})
    with pytest.raises(NoAddressError):
        pool.take("one more")
    pool.give_back(given[3 % len(given)])
    assert pool.take("one more") == given[3 % len(given)]


def test_of_a_pool_without_end_few_addresses_rest(monkeypatch):
    monkeypatch.setattr(pool_module, "MAX_RESTING", 3)
    pool = AddressPool(IPv6Network("fd00::/64"))
    given = []
    for index in range(9):
        given.append(pool.take(f"user{index}"))
        pool.give_back(given[-1])
    assert given == [given[index % 3] for index in range(9)]
    assert len({pool.take(f"other{index}") for index in range(9)}) == 9  # as many as are wanted are there still


def test_a_huge_pool_costs_nothing():
    pool = AddressPool(IPv6Network("fd00::/64"))
    assert pool.server == IPv6Address("fd00::1")
    assert [pool.take(f"{index}") for index in range(3)] == [IPv6Address(f"fd00::{index}") for index in (2, 3, 4)]


def test_a_user_gets_the_address_from_before():
    pool = AddressPool(IPv4Network("10.0.0.0/29"))
    first = pool.take("alice")
    second = pool.take("bob")
    pool.give_back(first)
    pool.give_back(second)
    assert pool.take("bob") == second
    assert pool.take("alice") == first


def test_a_free_address_rests_as_long_as_possible():
    pool = AddressPool(IPv4Network("10.0.0.0/29"))
    given = [pool.take(f"{index}") for index in range(5)]
    for address in (given[2], given[0], given[4]):
        pool.give_back(address)
    assert [pool.take("x"), pool.take("y"), pool.take("z")] == [given[2], given[0], given[4]]


def test_a_fixed_address_is_for_its_user_and_nobody_meanwhile():
    pool = AddressPool(IPv4Network("10.0.0.0/29"))
    fixed = IPv4Address("10.0.0.3")
    assert pool.claim("alice", fixed) == fixed
    with pytest.raises(NoAddressError, match="in use"):
        pool.claim("bob", fixed)
    others = {pool.take(f"{index}") for index in range(4)}
    assert fixed not in others
    pool.give_back(fixed)
    assert pool.take("last") == fixed


@pytest.mark.parametrize("address", ["10.0.0.0", "10.0.0.1", "10.0.0.7", "10.0.0.8", "9.255.255.255"])
def test_no_fixed_address_of_the_network_itself_or_the_server(address):
    with pytest.raises(NoAddressError):
        AddressPool(IPv4Network("10.0.0.0/29")).claim("alice", IPv4Address(address))


def test_a_session_gets_both_families_or_nothing():
    pools = AddressPools(IPv4Network("10.0.0.0/30"), IPv6Network("fd00::/126"))
    held = pools.take("alice")
    assert held == InnerAddresses(IPv4Address("10.0.0.2"), IPv6Address("fd00::2"))
    only6 = AddressPools(IPv4Network("10.0.0.0/29"), IPv6Network("fd00::/126"))
    only6.take("alice")
    with pytest.raises(NoAddressError):
        only6.take("bob")
    assert only6.ipv4.used == 1


def test_families_that_are_not_wanted_or_not_there():
    pools = AddressPools(IPv4Network("10.0.0.0/29"), None)
    assert pools.take("alice").ipv6 is None
    with pytest.raises(NoAddressError, match="in common"):
        pools.take("bob", want_ipv4=False)


class PoolMachine(RuleBasedStateMachine):
    """A pool against a set as its model: takes, claims and returns in random order."""

    def __init__(self):
        super().__init__()
        self.network = IPv4Network("10.0.0.0/28")
        self.pool = AddressPool(self.network)
        self.free = set(self.network.hosts()) - {self.pool.server}
        self.held = []

    @rule(user=st.sampled_from("abcdefgh"))
    def take(self, user):
        if not self.free:
            with pytest.raises(NoAddressError):
                self.pool.take(user)
            return
        self._hold(self.pool.take(user))

    @rule(user=st.sampled_from("abcdefgh"), offset=st.integers(0, 15))
    def claim(self, user, offset):
        address = self.network[offset]
        if address in self.free:
            self._hold(self.pool.claim(user, address))
        else:
            with pytest.raises(NoAddressError):
                self.pool.claim(user, address)

    @rule(index=st.integers(0, 30))
    def give_back(self, index):
        if self.held:
            address = self.held.pop(index % len(self.held))
            self.pool.give_back(address)
            self.free.add(address)

    def _hold(self, address):
        assert address in self.free
        self.free.remove(address)
        self.held.append(address)

    @invariant()
    def counts(self):
        assert self.pool.used == len(self.held)


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=40, stateful_step_count=30)
