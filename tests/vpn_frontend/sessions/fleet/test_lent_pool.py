# SPDX-License-Identifier: GPL-3.0-or-later
from ipaddress import ip_address, ip_network

import pytest

from vpn_frontend.sessions.addresses.pool import InnerAddresses, NoAddressError
from vpn_frontend.sessions.addresses.pools import AddressPools
from vpn_frontend.sessions.fleet.lent_pool import LentPool

FIRST, SECOND, THIRD = (ip_address(f"10.0.0.{number}") for number in (5, 6, 7))


@pytest.fixture
def pool():
    return LentPool(ip_network("10.0.0.0/27"))


def test_only_lent_addresses_are_given_out(pool):
    with pytest.raises(NoAddressError):
        pool.take("alice")
    pool.add([SECOND, FIRST])
    assert [pool.take("alice"), pool.take("bob")] == [SECOND, FIRST]
    with pytest.raises(NoAddressError):
        pool.take("carol")
    with pytest.raises(NoAddressError):
        pool.claim("carol", THIRD)
    pool.give_back(SECOND)
    assert pool.take("carol") == SECOND
    assert pool.used == 2


def test_a_user_gets_the_last_address_again_while_it_is_lent(pool):
    pool.add([FIRST, SECOND])
    assert pool.take("alice") == FIRST
    pool.give_back(FIRST)
    assert pool.take("alice") == FIRST
    pool.forget(FIRST)
    assert pool.take("alice") == SECOND


def test_what_is_forgotten_comes_back_only_by_the_fleets_word(pool):
    pool.add([FIRST, SECOND])
    pool.claim("alice", FIRST)
    pool.forget(FIRST)
    assert not pool.has_free(FIRST)
    pool.take("bob")
    pool.own_only([FIRST, SECOND])
    assert pool.take("carol") == FIRST
    with pytest.raises(NoAddressError):
        pool.take("dave")


def test_a_small_pool_keeps_no_reserve_and_a_large_one_does(pool):
    pool.add([FIRST, SECOND])
    assert pool.batch == 1
    assert pool.take_surplus() == [FIRST, SECOND]
    assert pool.free == 0
    large = LentPool(ip_network("10.0.0.0/19"))
    assert large.batch == 15
    large.add(large.network[number] for number in range(2, 40))
    assert len(large.take_surplus()) == 8
    assert len(large.take_surplus(everything=True)) == 30
    assert LentPool(ip_network("fd00::/64")).batch == 64


def test_the_pools_of_a_node_are_lent():
    pools = AddressPools(ip_network("10.0.0.0/27"), None, pool_type=LentPool)
    pools.ipv4.add([FIRST])
    assert pools.take("alice", want_ipv6=False) == InnerAddresses(FIRST, None)
    pools.give_back(InnerAddresses(FIRST, None))
    assert pools.holder_of(FIRST) is pools.ipv4
    assert pools.holder_of(ip_address("10.1.0.1")) is None


class Routes:
    def __init__(self):
        self.present = []

    def add(self, network):
        self.present.append(str(network))

    def remove(self, network):
        self.present.remove(str(network))


def test_routed_addresses_are_routes_while_a_session_has_them():
    routes = Routes()
    pool = LentPool(ip_network("10.0.0.0/27"), routes)
    pool.add([FIRST, SECOND, THIRD])
    assert routes.present == []
    assert [pool.take("alice"), pool.claim("bob", THIRD)] == [FIRST, THIRD]
    assert routes.present == ["10.0.0.5/32", "10.0.0.7/32"]
    pool.give_back(FIRST)
    pool.forget(THIRD)
    assert routes.present == []
    sixth = LentPool(ip_network("fd00::/64"), routes)
    sixth.add([ip_address("fd00::9")])
    sixth.take("alice")
    assert routes.present == ["fd00::9/128"]
