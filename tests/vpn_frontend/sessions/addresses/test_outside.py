# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixed addresses that are in none of the server's pools."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from vpn_frontend.gateway.interface import Counters, GatewayError
from vpn_frontend.ports import CloseReason, UserRecord
from vpn_frontend.sessions.addresses.outside import OutsideAddresses
from vpn_frontend.sessions.addresses.pool import InnerAddresses, NoAddressError
from vpn_frontend.sessions.addresses.pools import AddressPools
from vpn_frontend.sessions.admission import RefusedError
from vpn_frontend.settings import NetworkSettings
from vpn_frontend.testing import MemoryGateway

FIXED, FIXED6 = ip_address("10.91.0.7"), ip_address("fd91::7")


class RecordedRoutes:
    def __init__(self):
        self.present = set()
        self.local = set()

    def is_local(self, address):
        return address in self.local

    def add(self, network):
        assert network not in self.present
        self.present.add(network)

    def remove(self, network):
        self.present.remove(network)


@pytest.fixture
def lab(make_lab):
    lab = make_lab()
    lab.routes = lab.table._iroutes._kernel = lab.table._pools._outside._kernel = RecordedRoutes()
    return lab


def enter(lab, user, *, iroutes=(), **settings):
    overrides = {"network": {"iroutes": tuple(map(ip_network, iroutes))}} if iroutes else {}
    record = settings | {"overrides": overrides}
    return lab.tunnel(lab.log_in(user, **record), user=user, **record)


def end(lab):
    lab.live.disconnect(lab.live.list()[0].id, "over", lab.now)
    lab.pump()


def test_an_address_of_the_host_itself_is_refused(lab):
    lab.routes.local.add(FIXED)
    with pytest.raises(RefusedError, match=r"10\.91\.0\.7 is one of this server's host") as refused:
        enter(lab, "alice", ipv4=FIXED, ipv6=FIXED6)
    assert refused.value.reason == "no_address"
    assert lab.routes.present == set()


def test_it_is_routed_while_a_session_has_it_and_no_other_session_gets_it(lab):
    _, grant = enter(lab, "alice", ipv4=FIXED, ipv6=FIXED6)
    assert (grant.ipv4, grant.ipv6) == (FIXED, FIXED6)
    assert lab.routes.present == {ip_network(FIXED), ip_network(FIXED6)}
    [session] = lab.gateway.sessions.values()
    assert (session.parameters.ipv4, session.parameters.ipv6) == (FIXED, FIXED6)
    with pytest.raises(RefusedError, match=r"10\.91\.0\.7 is in use") as refused:
        enter(lab, "bob", ipv4=FIXED)
    assert refused.value.reason == "no_address"
    end(lab)
    assert lab.routes.present == set()
    enter(lab, "bob", ipv4=FIXED)
    assert lab.routes.present == {ip_network(FIXED)}


@pytest.mark.parametrize("text", ["127.0.0.2", "224.0.0.9", "169.254.1.1", "0.0.0.0", "203.0.113.9"])
def test_an_address_that_no_client_may_have_is_refused(lab, text):
    with pytest.raises(RefusedError, match=text.replace(".", r"\.")):
        enter(lab, "alice", ipv4=ip_address(text))
    assert lab.routes.present == set()


def test_a_refused_second_family_gives_the_first_one_back():
    outside = OutsideAddresses([ip_network("10.0.0.0/8")])
    pools = AddressPools(ip_network("192.168.99.0/29"), ip_network("fd00:99::/64"), (), outside)
    with pytest.raises(NoAddressError, match=r"vpn\.addresses_within"):
        pools.take("alice", static_ipv4=FIXED, static_ipv6=FIXED6)
    assert len(outside) == 0


@pytest.mark.parametrize("address_first", [True, False])
def test_an_address_inside_the_network_behind_another_user_is_refused(lab, address_first):
    steps = [("alice", {"ipv4": FIXED}), ("site", {"iroutes": ["10.91.0.0/24"]})]
    first, second = steps if address_first else reversed(steps)
    enter(lab, first[0], **first[1])
    before = set(lab.routes.present)
    with pytest.raises(RefusedError, match=r"10\.91\.0\.0/24") as refused:
        enter(lab, second[0], **second[1])
    assert refused.value.reason == "iroute_refused"
    assert lab.routes.present == before


def test_a_router_may_have_an_address_of_its_own_network(lab):
    _, grant = enter(lab, "site", ipv4=FIXED, iroutes=["10.91.0.0/24"])
    assert grant.ipv4 == FIXED
    assert lab.routes.present == {ip_network(FIXED), ip_network("10.91.0.0/24")}


def test_a_return_after_a_restart_has_it_again(make_lab):
    lab = make_lab()
    lab.tunnel(lab.log_in("alice", ipv4=FIXED), ipv4=FIXED)
    [session_id] = lab.recorder.open
    saved = lab.recorder.kept(session_id)
    assert saved.addresses.ipv4 == FIXED
    again = make_lab()
    again.routes = again.table._pools._outside._kernel = RecordedRoutes()
    again.recorder.open[saved.id] = None  # the journal has it
    user = UserRecord("alice", "", ipv4=FIXED)
    assert again.table.restorer.restore(saved, user, Counters(), lost_at=again.now, now=again.now + 1)
    assert again.routes.present == {ip_network(FIXED)}
    [session] = again.live.list()
    again.live.disconnect(session.id, "over", again.now)
    again.pump()
    assert again.routes.present == set()
    assert again.reasons() == [CloseReason.KILLED]


def test_a_full_gateway_gives_it_back(make_lab):
    class Full(MemoryGateway):
        def open_session(self, *_):
            raise GatewayError("full")

    lab = make_lab(gateway=Full())
    with pytest.raises(RefusedError, match="another tunnel"):
        enter(lab, "alice", ipv4=FIXED)
    assert len(lab.table._pools._outside) == 0


OWN, OWN6 = ip_network("10.9.0.0/16"), ip_network("fd09::/64")


def with_pools(lab, user, ipv4=OWN, ipv6=OWN6, **settings):
    """A login whose file has ``ipv4-network`` and ``ipv6-network``."""
    settings["overrides"] = {"network": {"ipv4_pool": ipv4, "ipv6_pool": ipv6}}
    return lab.tunnel(lab.log_in(user, **settings), user=user, **settings)


def test_a_pool_of_a_user_s_file_is_routed_while_a_session_has_an_address_of_it(lab):
    _, first = with_pools(lab, "alice")
    assert (first.ipv4, first.ipv6) == (OWN[2], OWN6[2])
    assert lab.routes.present == {OWN, OWN6}
    _, second = with_pools(lab, "bob")
    assert (second.ipv4, second.ipv6) == (OWN[3], OWN6[3]), "users with the same network share it"
    end(lab)
    assert lab.routes.present == {OWN, OWN6}
    end(lab)
    assert lab.routes.present == set()
    assert len(lab.table._pools._outside) == 0


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        ("203.0.113.0/24", "not inside vpn.addresses_within"), ("127.0.1.0/24", "not for clients"),
        ("192.168.0.0/16", "overlaps with the pool 192.168.99.0/29"), ("192.168.99.4/30", "overlaps with the pool"),
        ("10.91.0.0/16", "a fixed address of a user is in the pool"),
    ],
)  # fmt: skip
def test_a_pool_that_clients_cannot_have_is_refused_and_nothing_is_held(lab, pool, words):
    enter(lab, "carol", ipv4=FIXED)
    held = set(lab.routes.present)
    with pytest.raises(RefusedError, match=words) as refused:
        with_pools(lab, "alice", ip_network(pool))
    assert refused.value.reason == "no_address"
    assert lab.routes.present == held
    with_pools(lab, "bob")


def test_a_full_pool_of_a_user_s_file_stays_with_its_session(lab):
    small = ip_network("10.9.0.0/30")
    with_pools(lab, "alice", small)
    with pytest.raises(RefusedError, match="no free address is left"):
        with_pools(lab, "bob", small)
    assert lab.routes.present == {small, OWN6}


def test_no_network_behind_a_client_overlaps_with_a_pool_of_another_user_s_file(lab):
    with_pools(lab, "alice")
    with pytest.raises(RefusedError, match="another client's address is in"):
        enter(lab, "bob", iroutes=["10.9.5.0/24"])


def test_a_fixed_address_may_be_in_the_pool_of_the_user_s_file(lab):
    _, grant = with_pools(lab, "alice")
    assert grant.ipv4 == OWN[2]
    with pytest.raises(RefusedError, match=r"10\.9\.0\.2 is in use"):
        enter(lab, "bob", ipv4=OWN[2])
    _, fixed = enter(lab, "carol", ipv4=OWN[9])
    assert fixed.ipv4 == OWN[9]
    assert lab.routes.present == {OWN, OWN6}


def test_a_session_of_before_a_restart_has_the_pool_of_its_user_s_file_again():
    routes = RecordedRoutes()
    pools = AddressPools(ip_network("192.168.99.0/29"), None, (), OutsideAddresses([ip_network("10.0.0.0/8")], routes))
    network = NetworkSettings(ipv4_pool=OWN, ipv6_pool=None)
    held = InnerAddresses(OWN[7], None)
    pools.reclaim("alice", held, network)
    assert routes.present == {OWN}
    with pytest.raises(NoAddressError, match="in use"):
        pools.reclaim("bob", held, network)
    pools.give_back(held)
    assert routes.present == set()
    with pytest.raises(NoAddressError, match="gives to clients"):
        pools.reclaim("alice", InnerAddresses(OWN[0], None), network)
    assert routes.present == set()
    assert pools.networks == (ip_network("192.168.99.0/29"),)
