# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts keep their places in the gateway, whatever a reload adds and removes."""

from types import SimpleNamespace

import pytest

from vpn_frontend.gateway.interface import GatewayError, TlsHost
from vpn_frontend.gateway.native_hosts import keep_places

CERTIFICATE = SimpleNamespace(name="own")
OWN = TlsHost((CERTIFICATE,))


def host(name):
    return TlsHost((SimpleNamespace(name=name),), clients=name, name=name)


def test_a_removed_host_leaves_its_place_to_nobody_and_gets_it_back():
    a, b, c = host("a"), host("b"), host("c")
    before = keep_places(("",), (OWN, a, b))
    assert before == (OWN, a, b)
    after = keep_places(tuple(one.name for one in before), (OWN, b, c))
    assert [one.name for one in after] == ["", "removed-1.invalid", "b", "c"]
    assert (after[1].certificates, after[1].clients) == (OWN.certificates, TlsHost(()).clients)
    again = keep_places(tuple(one.name for one in after), (OWN, c, b))
    assert [one.name for one in again] == ["", "removed-1.invalid", "b", "c"]


def test_their_number_is_bounded():
    names = ("", *(f"h{number}" for number in range(63)))
    with pytest.raises(GatewayError, match="more than 64 hosts since the start"):
        keep_places(names, (OWN, host("new")))
