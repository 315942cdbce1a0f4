# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's addresses, routes and links over netlink (rtnetlink(7), linux/rtnetlink.h).

Only what the server needs of it, so that a start loads no general library. Needs CAP_NET_ADMIN to change something.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Interface, IPv6Interface

    from vpn_frontend.settings import Address, Network

TIMEOUT = 5.0  # seconds for one answer; the kernel answers at once
MAX_MESSAGE = 65_536  # bytes of one datagram of a dump; the kernel sends at most 32 KiB
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=8BI")  # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP, _EXCL, _CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
_NEW_LINK, _GET_LINK, _NEW_ADDRESS, _GET_ADDRESS, _NEW_ROUTE, _DEL_ROUTE, _GET_ROUTE = 16, 18, 20, 22, 24, 25, 26
_IFLA_IFNAME, _IFLA_MTU, _IFLA_TXQLEN = 3, 4, 13
_IFF_UP = 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC = 1, 4, 5, 7
_MAIN_TABLE, _STATIC, _UNICAST = 254, 4, 1  # RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST
_LINK_SCOPE, _ANY_SCOPE = 253, 255  # RT_SCOPE_LINK; RT_SCOPE_NOWHERE, which a deletion takes for any
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_Attributes = dict[int, bytes]


class HostAddress(NamedTuple):
    """An address of an interface. ``peer`` is the other end of a point-to-point link, else ``address`` itself."""

    link: int
    address: Address
    peer: Address
    prefixlen: int


class Route(NamedTuple):
    """A route of any table. ``link`` is 0 and ``gateway`` None where the route has none or several."""

    destination: Address | None  # None: a default route
    prefixlen: int
    link: int
    gateway: Address | None


class RouteSocket:
    """A netlink socket. All calls block, for at most ``TIMEOUT``, and raise ``OSError`` with the kernel's error."""

    def __init__(self) -> None:
        self._link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._link.settimeout(TIMEOUT)
        self._sequence = 0

    def find_link(self, name: str) -> int:
        """The index of the interface. ENODEV if there is none."""
        wanted = _attribute(_IFLA_IFNAME, name.encode() + b"\0")
        for answer in self._ask(_GET_LINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + wanted):
            return int(_LINK.unpack_from(answer)[2])
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    def set_link(self, index: int, *, mtu: int, queue_length: int) -> None:
        sizes = _attribute(_IFLA_MTU, _NUMBER.pack(mtu)) + _attribute(_IFLA_TXQLEN, _NUMBER.pack(queue_length))
        self._change(_NEW_LINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0) + sizes)

    def set_link_up(self, index: int) -> None:
        self._change(_NEW_LINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, index, _IFF_UP, _IFF_UP))

    def add_address(self, index: int, own: IPv4Interface | IPv6Interface) -> None:
        body = _ADDRESS.pack(_FAMILIES[own.version], own.network.prefixlen, 0, 0, index)
        body += _attribute(_IFA_LOCAL, own.packed) + _attribute(_IFA_ADDRESS, own.packed)
        self._change(_NEW_ADDRESS, _CREATE | _EXCL, body)

    def addresses(self) -> list[HostAddress]:
        """All addresses of the host."""
        found = []
        for answer in self._ask(_GET_ADDRESS, _DUMP, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            _, prefixlen, _, _, index = _ADDRESS.unpack_from(answer)
            attributes = _attributes(answer[_ADDRESS.size :])
            peer = ip_address(attributes[_IFA_ADDRESS])
            own = ip_address(attributes.get(_IFA_LOCAL, attributes[_IFA_ADDRESS]))
            found.append(HostAddress(index, own, peer, prefixlen))
        return found

    def add_route(self, network: Network, index: int, source: Address | None = None) -> None:
        """Add a route of the main table to an interface. EEXIST if the network has one."""
        self._change(_NEW_ROUTE, _CREATE | _EXCL, _route(network, index, _LINK_SCOPE, source))

    def delete_route(self, network: Network, index: int) -> None:
        """ESRCH if there is none."""
        self._change(_DEL_ROUTE, 0, _route(network, index, _ANY_SCOPE, None))

    def routes(self) -> list[Route]:
        """All routes of all tables."""
        empty = _ROUTE.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)
        answers = self._ask(_GET_ROUTE, _DUMP, empty)
        return [_read_route(answer) for answer in answers if answer[0] in _FAMILIES.values()]

    def close(self) -> None:
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _change(self, kind: int, flags: int, body: bytes) -> None:
        for _ in self._ask(kind, flags | _ACK, body):
            pass

    def _ask(self, kind: int, flags: int, body: bytes) -> Iterator[bytes]:
        """Yields the bodies of the answer: all of a dump, else one, or none for a bare acknowledgement."""
        self._sequence += 1
        self._link.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, self._sequence, 0) + body)
        while True:
            for answer, sequence, payload in _messages(self._link.recv(MAX_MESSAGE)):
                if sequence != self._sequence:  # the rest of an answer that was given up
                    continue
                if answer in {_ERROR, _DONE}:
                    code = -struct.unpack_from("=i", payload)[0] if len(payload) >= _NUMBER.size else 0
                    if code:
                        raise OSError(code, os.strerror(code))
                    return
                yield payload
                if flags & _DUMP != _DUMP:
                    return


def _route(network: Network, index: int, scope: int, source: Address | None) -> bytes:
    family = _FAMILIES[network.version]
    body = _ROUTE.pack(family, network.prefixlen, 0, 0, _MAIN_TABLE, _STATIC, scope, _UNICAST, 0)
    body += _attribute(_RTA_DST, network.network_address.packed) + _attribute(_RTA_OIF, _NUMBER.pack(index))
    return body if source is None else body + _attribute(_RTA_PREFSRC, source.packed)


def _read_route(packed: bytes) -> Route:
    attributes = _attributes(packed[_ROUTE.size :])
    destination, gateway = attributes.get(_RTA_DST), attributes.get(_RTA_GATEWAY)
    link: int = _NUMBER.unpack(attributes.get(_RTA_OIF, bytes(_NUMBER.size)))[0]
    return Route(
        None if destination is None else ip_address(destination),
        packed[1],
        link,
        None if gateway is None else ip_address(gateway),
    )


def _messages(packed: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yields type, sequence number and body of each message of a datagram."""
    while len(packed) >= _HEADER.size:
        length, kind, _, sequence, _ = _HEADER.unpack_from(packed)
        if length < _HEADER.size:
            raise OSError(errno.EBADMSG, "netlink answers with a malformed message")
        yield kind, sequence, packed[_HEADER.size : length]
        packed = packed[length + -length % 4 :]


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _attributes(packed: bytes) -> _Attributes:
    found: _Attributes = {}
    while len(packed) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(packed)
        if length < _ATTRIBUTE.size:
            raise OSError(errno.EBADMSG, "netlink answers with a malformed attribute")
        found[kind & _TYPE_MASK] = packed[_ATTRIBUTE.size : length]
        packed = packed[length + -length % 4 :]
    return found
