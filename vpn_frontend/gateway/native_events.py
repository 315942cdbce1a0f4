# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the events of the gateway in C: structs and their payloads to values.

A login and its end are seven events, so those are read from the memory of the structs: reading one field through cffi
costs as much as unpacking ten. The others are rare and read through cffi.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import TYPE_CHECKING

from vpn_frontend._gateway import ffi, lib
from vpn_frontend.gateway.interface import (
    Cause,
    ChannelDown,
    ChannelUp,
    ConnectionClosed,
    ConnectionData,
    ConnectionUp,
    Counters,
    DtlsDown,
    DtlsUp,
    GatewayEvent,
    ProxyRefused,
    QuotaExceeded,
    SessionAlive,
    SessionClosed,
    SessionIdle,
    SignerDown,
    TunDown,
    TunFailing,
)
from vpn_frontend.gateway.native_limits import MAPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vpn_frontend._gateway import CountersStruct, EventStruct, GatewayPointer, Text
    from vpn_frontend.settings import Address

EVENTS_PER_CALL = 256
EVENT_DATA_SIZE = 256 * 1024  # bytes; a payload is at most 16 KiB + 64
ROUNDS_PER_CALL = 8  # ``read`` returns to the loop after this many full batches
TLS_VERSIONS = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
DTLS_VERSIONS = {0xFEFD: "DTLSv1.2", 0xFEFC: "DTLSv1.3"}
CAUSES = {int(cause): cause for cause in Cause}
EXPORTED_KEY: int = lib.GW_EXPORTER_SIZE  # bytes of each key of a connection
EXPORTS: int = lib.GW_EXPORTS_SIZE  # bytes before the certificate
KNOWN_PEERS = 1024  # addresses that are kept read: a client comes over several connections

_EVENT = "struct gw_event"
EVENT_SIZE = ffi.sizeof(_EVENT)
SIZE_AT, PEER_AT, COUNTERS_AT = (ffi.offsetof(_EVENT, name) for name in ("data_size", "peer", "counters"))
# Native alignment, as the structs have it; a test compares the places of all fields.
HEAD = Struct("@IIQQ")  # kind, cause, connection, session
COMMON = Struct(f"@IIQQ{SIZE_AT - HEAD.size}xI")  # the same, and the size of the payload
PEER = Struct(f"@16s16sHHHH48s{lib.GW_SERVER_NAME_SIZE}sI")  # peer, local, ports, version, resumed, cipher, name, host
COUNTERS = Struct("@11Q")
# The layout is of the build, so that Python reads no other one.
if COUNTERS.size != ffi.sizeof("struct gw_counters") or PEER_AT + PEER.size > COUNTERS_AT:
    raise ImportError("the native gateway and this module are of different builds")

_CONNECTION_UP: int = lib.GW_CONNECTION_UP
_CONNECTION_DATA: int = lib.GW_CONNECTION_DATA
_CHANNEL_UP: int = lib.GW_CHANNEL_UP
_CHANNEL_DOWN: int = lib.GW_CHANNEL_DOWN
_SESSION_CLOSED: int = lib.GW_SESSION_CLOSED


class EventReader:
    """The memory that the gateway copies its events to."""

    def __init__(self) -> None:
        self._events = ffi.new("struct gw_event[]", EVENTS_PER_CALL)
        self._data = ffi.new("uint8_t[]", EVENT_DATA_SIZE)
        self._event_bytes = memoryview(ffi.buffer(self._events))
        self._payloads = memoryview(ffi.buffer(self._data))

    def read(self, gateway: GatewayPointer, hosts: Sequence[str]) -> list[GatewayEvent]:
        """The events so far, in order. ``hosts`` are the names of the virtual hosts, by place."""
        found: list[GatewayEvent] = []
        for _ in range(ROUNDS_PER_CALL):
            count = lib.gw_events(gateway, self._events, EVENTS_PER_CALL, self._data, EVENT_DATA_SIZE)
            if count:
                self._translate(count, hosts, found)
            if count < EVENTS_PER_CALL:
                break
        return found

    def _translate(self, count: int, hosts: Sequence[str], found: list[GatewayEvent]) -> None:
        events, payloads, read = self._event_bytes, self._payloads, COMMON.unpack_from
        position = 0
        for number in range(count):
            at = number * EVENT_SIZE
            kind, cause, connection, session, size = read(events, at)
            payload = payloads[position : position + size].tobytes() if size else b""
            position += size
            if kind == _CONNECTION_DATA:
                found.append(ConnectionData(connection, payload))
            elif kind == _CONNECTION_UP:
                found.append(_connection_up(connection, PEER.unpack_from(events, at + PEER_AT), payload, hosts))
            elif kind == _CHANNEL_UP:
                found.append(ChannelUp(session, connection))
            elif kind == _CHANNEL_DOWN:
                counters = _make_counters(COUNTERS.unpack_from(events, at + COUNTERS_AT))
                found.append(ChannelDown(session, connection, CAUSES[cause], payload, counters))
            elif kind == _SESSION_CLOSED:
                found.append(SessionClosed(session, _make_counters(COUNTERS.unpack_from(events, at + COUNTERS_AT))))
            else:
                found.append(_READERS[kind](self._events[number], payload))
        if position:
            payloads[:position] = bytes(position)  # a password may have been in it


def unpack_address(packed: bytes) -> Address:
    return IPv4Address(packed[12:]) if packed.startswith(MAPPED) else IPv6Address(packed)


def read_counters(counters: CountersStruct) -> Counters:
    return _make_counters(COUNTERS.unpack(ffi.buffer(counters)))


def read_text(chars: Text) -> str:
    # The peer chose the server name, so its bytes are escaped to printable text.
    return _printable(ffi.string(chars))


def _make_counters(fields: tuple[int, ...]) -> Counters:
    rx, rx_bytes, tx, tx_bytes, rx_lost, tx_lost, last_ns, *dtls = fields
    return Counters(rx, rx_bytes, tx, tx_bytes, rx_lost, tx_lost, last_ns / 1e9, *dtls)


def _connection_up(
    connection: int,
    peer: tuple[bytes, bytes, int, int, int, int, bytes, bytes, int],
    payload: bytes,
    hosts: Sequence[str],
) -> ConnectionUp:
    address, local, peer_port, local_port, version, resumed, cipher, server_name, host = peer
    return ConnectionUp(
        connection,
        _peer_address(address),
        peer_port,
        local_port,
        TLS_VERSIONS.get(version) or f"{version:#06x}",
        _cipher_name(cipher),
        _printable(server_name.partition(b"\0")[0]),
        bool(resumed),
        payload[:EXPORTED_KEY],
        payload[EXPORTED_KEY : 2 * EXPORTED_KEY],
        payload[EXPORTS:],
        _bindings(version, payload[2 * EXPORTED_KEY : EXPORTS]),
        _server_address(local),
        hosts[host],
    )


_peer_address = lru_cache(KNOWN_PEERS)(unpack_address)


@lru_cache(maxsize=256)
def _server_address(packed: bytes) -> Address:
    """One object for all sessions that connected to the same address of the server."""
    return unpack_address(packed)


@lru_cache(maxsize=256)
def _cipher_name(padded: bytes) -> str:
    """One text for all sessions with the same cipher."""
    return sys.intern(_printable(padded.partition(b"\0")[0]))


def _bindings(version: int, exported: bytes) -> tuple[bytes, ...]:
    """``exported``: the exporter, then the Finished message after its size in one byte."""
    finished = exported[EXPORTED_KEY + 1 : EXPORTED_KEY + 1 + exported[EXPORTED_KEY]]
    # TLS 1.2 exports the same to two peers without an extension that clients may leave out (RFC 7627).
    return (exported[:EXPORTED_KEY], finished) if TLS_VERSIONS.get(version) == "TLSv1.3" else (finished,)


def _dtls_up(event: EventStruct, _: bytes) -> DtlsUp:
    return DtlsUp(
        session=event.session,
        peer=unpack_address(bytes(event.peer)),
        peer_port=event.peer_port,
        version=DTLS_VERSIONS.get(event.tls_version) or f"{event.tls_version:#06x}",
        cipher=read_text(event.cipher),
    )


def _connection_closed(event: EventStruct, _: bytes) -> ConnectionClosed:
    peer = unpack_address(bytes(event.peer)) if event.cause == lib.GW_CAUSE_EVICTED else None
    return ConnectionClosed(event.connection, CAUSES[event.cause], peer)


# What makes an event of a struct and its payload, by kind, beside those of a login. A kind that is not here is a fault
# of the build.
_READERS: dict[int, Callable[[EventStruct, bytes], GatewayEvent]] = {
    lib.GW_CONNECTION_CLOSED: _connection_closed,
    lib.GW_SESSION_IDLE: lambda event, _: SessionIdle(event.session),
    lib.GW_SESSION_ALIVE: lambda event, _: SessionAlive(event.session),
    lib.GW_TUN_DOWN: lambda *_: TunDown(),
    lib.GW_TUN_FAILING: lambda event, _: TunFailing(event.connection, event.error),
    lib.GW_SIGNER_DOWN: lambda *_: SignerDown(),
    lib.GW_PROXY_REFUSED: lambda event, why: ProxyRefused(unpack_address(bytes(event.peer)), why.decode()),
    lib.GW_QUOTA_EXCEEDED: lambda event, _: QuotaExceeded(event.session),
    lib.GW_DTLS_UP: _dtls_up,
    lib.GW_DTLS_DOWN: lambda event, _: DtlsDown(event.session, CAUSES[event.cause]),
}


@lru_cache(maxsize=256)
def _printable(name: bytes) -> str:
    return name.decode("latin-1").encode("unicode_escape").decode("ascii")
