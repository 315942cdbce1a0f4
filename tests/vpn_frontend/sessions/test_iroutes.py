# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks behind clients: who gets which, and what the kernel and other clients are told."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from vpn_frontend.gateway.interface import GatewayError
from vpn_frontend.gateway.limits import Restriction
from vpn_frontend.sessions.admission import RefusedError
from vpn_frontend.sessions.iroutes import MAX_IROUTES
from vpn_frontend.testing import MemoryGateway

SITE = "10.30.0.0/24"


class RecordedRoutes:
    def __init__(self):
        self.present = set()

    def add(self, network):
        assert network not in self.present
        self.present.add(network)

    def remove(self, network):
        self.present.remove(network)


def behind(*texts, exposed=False):
    return {"overrides": {"network": {"iroutes": tuple(map(ip_network, texts)), "expose_iroutes": exposed}}}


@pytest.fixture
def lab(make_lab):
    return with_routes(make_lab())


def with_routes(lab):
    lab.routes = lab.table._iroutes._kernel = RecordedRoutes()
    return lab


def enter(lab, user, settings=None):
    settings = settings or {}
    return lab.tunnel(lab.log_in(user, **settings), user=user, **settings)


def present(lab):
    return sorted(map(str, lab.routes.present))


def given(lab):
    """The networks of each session as the gateway knows them."""
    return [tuple(map(str, session.parameters.iroutes)) for session in lab.gateway.sessions.values()]


def end(lab, index=0):
    lab.live.disconnect(lab.live.list()[index].id, "over", lab.now)
    lab.pump()


def test_a_session_has_its_networks_until_it_is_closed(lab):
    enter(lab, "site", behind(SITE, "fd30::/64"))
    assert present(lab) == [SITE, "fd30::/64"]
    assert given(lab) == [(SITE, "fd30::/64")]
    end(lab)
    assert present(lab) == []
    enter(lab, "other", behind(SITE))
    assert present(lab) == [SITE]


@pytest.mark.parametrize("network", ["10.30.0.0/24", "10.30.0.128/25", "10.0.0.0/9"])
def test_an_overlap_with_another_user_s_network_is_refused_and_holds_nothing(lab, network):
    enter(lab, "site", behind(SITE))
    with pytest.raises(RefusedError, match=r"10\.30\.0\.0/24 is behind another client") as refused:
        enter(lab, "other", behind("10.40.0.0/24", network))
    assert refused.value.reason == "iroute_refused"
    assert present(lab) == [SITE]
    assert len(lab.live.list()) == 1
    _, grant = enter(lab, "other")
    assert str(grant.ipv4) == "192.168.99.3", "its address was given back"


@pytest.mark.parametrize(
    ("network", "why"),
    [("192.168.99.0/29", "overlaps with the addresses"), ("192.168.0.0/16", "overlaps"), ("192.0.2.0/24", "may not"),
     ("0.0.0.0/0", "no network behind"), ("224.0.0.0/8", "no network"), ("fe80::/64", "no network"),
     ("fd00:99::/72", "overlaps")],
)  # fmt: skip
def test_a_network_that_is_none_of_a_client_is_refused(lab, network, why):
    with pytest.raises(RefusedError, match=why):
        enter(lab, "site", behind(network))
    assert present(lab) == []


def test_a_later_session_of_the_same_user_takes_its_networks_over(lab):
    enter(lab, "site", behind(SITE, "10.31.0.0/24"))
    enter(lab, "site", behind("10.30.0.0/25", "10.31.0.0/24"))
    assert present(lab) == ["10.30.0.0/25", "10.31.0.0/24"]
    end(lab, 0)
    assert present(lab) == ["10.30.0.0/25", "10.31.0.0/24"], "the first session had none of them any more"
    end(lab, 0)
    assert present(lab) == []


def test_the_networks_of_all_sessions_are_bounded(lab, monkeypatch):
    monkeypatch.setattr("vpn_frontend.sessions.iroutes.MAX_IROUTES", 3)
    assert MAX_IROUTES > 3
    enter(lab, "site", behind("10.1.0.0/16", "10.2.0.0/16"))
    with pytest.raises(RefusedError, match="too many networks"):
        enter(lab, "other", behind("10.3.0.0/16", "10.4.0.0/16"))
    enter(lab, "site", behind("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"))
    assert len(present(lab)) == 3


def test_a_full_gateway_gives_the_networks_back(make_lab):
    class Full(MemoryGateway):
        def open_session(self, *_):
            raise GatewayError("full")

    lab = with_routes(make_lab(gateway=Full()))
    with pytest.raises(RefusedError, match="another tunnel"):
        enter(lab, "site", behind(SITE))
    assert present(lab) == []


def test_exposed_networks_are_routes_of_other_clients(make_lab):
    routes = (ip_network("10.50.0.0/16"),)
    lab = with_routes(make_lab(network={"routes": routes, "restrict_to_routes": True}))
    _, own = enter(lab, "site", behind(SITE, exposed=True))
    enter(lab, "hidden", behind("10.31.0.0/24"))
    _, grant = enter(lab, "alice")
    assert own.exposed == ()
    assert grant.exposed == (ip_network(SITE),)
    exposed = [session.parameters.iroutes_exposed for session in lab.gateway.sessions.values()]
    assert exposed == [True, False, False]
    limits = [session.limits for session in lab.gateway.sessions.values()]
    assert limits[2].restriction == Restriction((*routes, ip_network(SITE)))


def test_a_client_that_comes_back_may_reach_what_was_exposed_since(make_lab):
    routes = (ip_network("10.50.0.0/16"),)
    lab = with_routes(make_lab(network={"routes": routes, "restrict_to_routes": True}))
    cookie = lab.log_in("alice")
    lab.tunnel(cookie)
    enter(lab, "site", behind(SITE, exposed=True))
    _, grant = lab.tunnel(cookie)
    assert grant.exposed == (ip_network(SITE),)
    first = next(iter(lab.gateway.sessions.values()))
    assert first.limits.restriction == Restriction((*routes, ip_network(SITE)))
