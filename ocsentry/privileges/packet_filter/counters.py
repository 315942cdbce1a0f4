# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a named counter of an nftables table through netlink (linux/netfilter/nf_tables.h).

libnftables reads all elements of all sets before it shows a counter: three seconds for 65 536 of them.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple, Self

NETLINK_NETFILTER = 12
TIMEOUT = 5.0  # seconds
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
_NEW_OBJECT, _GET_OBJECT = _SUBSYSTEM | 18, _SUBSYSTEM | 19
_INET = 1  # NFPROTO_INET
_TABLE, _NAME, _TYPE, _DATA = 1, 2, 3, 4  # NFTA_OBJ_*
_COUNTER = 1  # NFT_OBJECT_COUNTER
_BYTES, _PACKETS = 1, 2  # NFTA_COUNTER_*
_HEADER, _FAMILY, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("!BBH"), struct.Struct("=HH")
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER


class Count(NamedTuple):
    packets: int
    octets: int


class CounterSocket:
    """A netlink socket. Needs CAP_NET_ADMIN."""

    def __init__(self) -> None:
        self._link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        self._link.settimeout(TIMEOUT)

    def read(self, table: str, name: str) -> Count:
        """The counter ``name`` of the inet table ``table``. Raises ``OSError``: ENOENT if there is none."""
        attributes = _string(_TABLE, table) + _string(_NAME, name) + _attribute(_TYPE, struct.pack("!I", _COUNTER))
        body = _FAMILY.pack(_INET, 0, 0) + attributes
        self._link.send(_HEADER.pack(_HEADER.size + len(body), _GET_OBJECT, _NLM_F_REQUEST, 1, 0) + body)
        answer = self._link.recv(8192)
        kind = _HEADER.unpack_from(answer)[1]
        if kind == _NLMSG_ERROR:
            code = -struct.unpack_from("=i", answer, _HEADER.size)[0]
            raise OSError(code, os.strerror(code))
        if kind != _NEW_OBJECT:
            raise OSError(f"netlink answers with message {kind}")
        data = _attributes(_attributes(answer[_HEADER.size + _FAMILY.size :])[_DATA])
        return Count(int.from_bytes(data[_PACKETS]), int.from_bytes(data[_BYTES]))

    def close(self) -> None:
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _string(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _attributes(packed: bytes) -> dict[int, bytes]:
    found = {}
    while len(packed) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(packed)
        if length < _ATTRIBUTE.size:
            raise OSError("netlink answers with a malformed attribute")
        found[kind & _TYPE_MASK] = packed[_ATTRIBUTE.size : length]
        packed = packed[length + -length % 4 :]
    return found
