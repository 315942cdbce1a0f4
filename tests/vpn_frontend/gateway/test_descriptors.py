# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace
from ipaddress import ip_address

from vpn_frontend.gateway import descriptors
from vpn_frontend.gateway.descriptors import open_through
from vpn_frontend.gateway.sockets import UDP_SOCKETS
from vpn_frontend.settings import Endpoint, VpnSettings

FIRST, SECOND = (Endpoint(ip_address(f"127.0.0.{last}"), 443) for last in (1, 2))


class Opener:
    """Answers each endpoint with its number, for every worker."""

    def bind_listeners(self, endpoints, workers):
        return ()

    def open_datagram_sockets(self, endpoints, workers):
        return (tuple(endpoints),) * workers

    def open_tun(self, queues):
        return ()


def opened(**changes):
    return open_through(Opener(), replace(VpnSettings(listen=(FIRST, SECOND), worker_threads=2), **changes)).datagrams


def test_every_worker_has_several_udp_sockets_of_each_address_in_one_sequence():
    first, second = opened(dtls=True)
    assert first == second
    assert (first.count(FIRST), first.count(SECOND), len(first)) == (UDP_SOCKETS, UDP_SOCKETS, 2 * UDP_SOCKETS)


def test_addresses_of_dtls_alone_replace_those_of_tls():
    assert set(opened(dtls=True, dtls_listen=(SECOND,))[0]) == {SECOND}


def test_without_dtls_there_is_none():
    assert opened(dtls=False) == ()


def test_the_limit_of_descriptors_counts_the_sockets_of_all_addresses(monkeypatch):
    asked = []
    monkeypatch.setattr(descriptors, "raise_descriptor_limit", lambda *needed: asked.append(needed[1:]))
    many = tuple(Endpoint(ip_address(f"127.0.0.{last}"), 443) for last in range(1, 17))
    opened(dtls=True, listen=many)
    opened(dtls=True, listen=many, dtls_listen=(FIRST,))
    opened(dtls=False, listen=many)
    assert asked == [(2, 16 + 16 * UDP_SOCKETS), (2, 16 + UDP_SOCKETS), (2, 16)]
