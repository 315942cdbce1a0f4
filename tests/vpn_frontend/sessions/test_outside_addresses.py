# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixed addresses that are in none of the server's pools."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from vpn_frontend.gateway.interface import Counters, GatewayError
from vpn_frontend.ports import CloseReason, UserRecord
from vpn_frontend.sessions.address_pool import AddressPools, NoAddressError
from vpn_frontend.sessions.admission import RefusedError
from vpn_frontend.sessions.outside_addresses import OutsideAddresses
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
