# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that the kernel gives to no other program while a test runs."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from vpn_frontend.gateway.sockets import ListenError, open_datagram_sockets
from vpn_frontend.settings import Endpoint

ATTEMPTS = 20  # a client somewhere may hold a UDP port of the number: once in thousands


def reserve_port():
    """A socket whose port is reserved until it is closed: only sockets with SO_REUSEPORT can bind it too."""
    reserved = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    reserved.bind(("::", 0))
    return reserved


def port_of(reserved):
    return reserved.getsockname()[1]


def reserve_datagram_port(address, workers):
    """(a socket as of ``reserve_port``, datagram sockets for the gateway's workers at its number and ``address``)."""
    for _ in range(ATTEMPTS):
        reserved = reserve_port()
        try:
            return reserved, open_datagram_sockets([Endpoint(ip_address(address), port_of(reserved))], workers)
        except ListenError:
            reserved.close()
    raise AssertionError(f"no port of {ATTEMPTS} is free")
