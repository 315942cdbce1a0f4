# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway in C (``native/``) behind the interface ``Gateway``.

Owns the native object and converts: addresses to 16 bytes, structs to events, negative errno to ``GatewayError``. No
packet passes through here.
"""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import asdict
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NoReturn

from vpn_frontend._gateway import ffi, lib
from vpn_frontend.gateway import sockets
from vpn_frontend.gateway.interface import (
    NO_COUNTERS,
    Cause,
    ChannelDown,
    ChannelUp,
    ConnectionClosed,
    ConnectionData,
    ConnectionUp,
    Counters,
    DtlsCertificate,
    DtlsDown,
    DtlsOffer,
    DtlsPsk,
    DtlsResumption,
    DtlsUp,
    GatewayConfig,
    GatewayError,
    GatewayEvent,
    ProxyRefused,
    QuotaExceeded,
    SessionAlive,
    SessionClosed,
    SessionIdle,
    SignerDown,
    TunDown,
    TunFailing,
    TunnelParameters,
)
from vpn_frontend.gateway.limits import NO_LIMITS
from vpn_frontend.gateway.native_hosts import keep_places, set_acme_challenges, set_hosts
from vpn_frontend.gateway.native_limits import MAPPED, NativeBudget, pack_ranges, set_limits
from vpn_frontend.settings import MAX_WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vpn_frontend._gateway import (
        AccountsPointer,
        Bytes,
        CountersStruct,
        DtlsConfigStruct,
        EventStruct,
        GatewayPointer,
        Pointer,
        RangesPointer,
        Text,
    )
    from vpn_frontend.gateway.interface import TlsHost
    from vpn_frontend.gateway.limits import TunnelLimits
    from vpn_frontend.settings import Address

EVENTS_PER_CALL = 256
EVENT_DATA_SIZE = 256 * 1024  # bytes; a payload is at most 16 KiB + 64
ROUNDS_PER_CALL = 8  # ``events`` returns to the loop after this many full batches
ERROR_SIZE = 256
TLS_VERSIONS = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
DTLS_VERSIONS = {0xFEFD: "DTLSv1.2", 0xFEFC: "DTLSv1.3"}
CAUSES = {int(cause): cause for cause in Cause}
NO_ADDRESS = bytes(16)
NO_BROADCAST = 31  # bits: from this prefix length on an IPv4 network has no broadcast address (RFC 3021)
EXPORTED_KEY: int = lib.GW_EXPORTER_SIZE  # bytes of each key of a connection
EXPORTS: int = lib.GW_EXPORTS_SIZE  # bytes before the certificate


def pack_address(address: Address | None) -> bytes:
    if address is None:
        return NO_ADDRESS
    return address.packed if address.version == 6 else MAPPED + address.packed


def unpack_address(packed: bytes) -> Address:
    return IPv4Address(packed[12:]) if packed.startswith(MAPPED) else IPv6Address(packed)


def open_gateway(config: GatewayConfig) -> NativeGateway:
    """Start a gateway. Connections are accepted when this returns. Raises ``GatewayError``."""
    return NativeGateway(config)


class _OwnedDescriptors:
    """Descriptors whose ownership has not passed to the native object yet."""

    def __init__(self, config: GatewayConfig) -> None:
        self._listeners = [(worker, fd) for worker, row in enumerate(config.listeners) for fd in row]
        self._tuns = list(enumerate(config.tuns))
        self._signers = list(enumerate(config.signers))
        # Reversed, as they are taken from the end: sockets of one endpoint need the same position in each worker.
        self._udp = [(worker, fd) for worker, row in enumerate(config.udp) for fd in row][::-1]

    def hand_over(self, gateway: GatewayPointer) -> None:
        while self._tuns:
            _check(lib.gw_set_tun(gateway, *self._tuns[-1]), "TUN queue")
            self._tuns.pop()
        while self._signers:
            _check(lib.gw_set_signer(gateway, *self._signers[-1]), "socket to the signing process")
            self._signers.pop()
        while self._listeners:
            _check(lib.gw_add_listener(gateway, *self._listeners[-1]), "listening socket")
            self._listeners.pop()
        while self._udp:
            _check(lib.gw_add_udp(gateway, *self._udp[-1]), "UDP socket")
            self._udp.pop()

    def close(self) -> None:
        for _, descriptor in [*self._tuns, *self._signers, *self._listeners, *self._udp]:
            os.close(descriptor)


class NativeGateway:
    """Implements ``Gateway``."""

    def __init__(self, config: GatewayConfig) -> None:
        self._gw: GatewayPointer | None = None
        self._accounts: AccountsPointer | None = None
        self._events = ffi.new("struct gw_event[]", EVENTS_PER_CALL)
        self._data = ffi.new("uint8_t[]", EVENT_DATA_SIZE)
        self._counters = ffi.new("struct gw_counters *")
        self._stat_names = _stat_names()
        self._host_names = tuple(host.name for host in config.hosts)  # by place; a removed one has another name
        self._places = self._host_names  # the names that the places are kept for
        self._ciphers, self._fips = config.ciphers, config.fips
        self._listeners = tuple(descriptor for row in config.listeners for descriptor in row)
        self._paused = False
        given = _OwnedDescriptors(config)
        try:
            self._open(config)
            self.set_hosts(config.hosts)
            given.hand_over(self._handle())
            self._start()
        except BaseException:
            given.close()
            self.close()
            raise

    def _open(self, config: GatewayConfig) -> None:
        error = ffi.new("char[]", ERROR_SIZE)
        subnet = config.ipv4_pool if config.ipv4_pool and config.ipv4_pool.prefixlen < NO_BROADCAST else None
        self._worker_filter = ffi.from_buffer("uint8_t[]", config.worker_filter)  # the workers read it when they start
        ranges = pack_ranges(config.proxies)
        proxies = ffi.new("struct gw_address_range[]", ranges)
        fields: dict[str, int | Pointer | Bytes | RangesPointer | AccountsPointer] = {
            "workers": len(config.tuns),
            "max_connections": config.max_connections,
            "max_sessions": config.max_sessions,
            "handshake_timeout_ms": round(config.handshake_timeout * 1000),
            "conversation_timeout_ms": round(config.conversation_timeout * 1000),
            "write_timeout_ms": round(config.write_timeout * 1000),
            "offloads": int(config.offloads),
            "network4": int(subnet.network_address) if subnet else 0,
            "mask4": int(subnet.netmask) if subnet else 0,
            "gate": ffi.cast("void *", config.gate),
            "filter": self._worker_filter,
            "filter_size": len(config.worker_filter),
            "proxies": proxies,
            "proxy_count": len(ranges),
            "fips": int(config.fips),
        }
        if config.accounts is not None:
            self._accounts = accounts = ffi.from_buffer("struct gw_account[]", config.accounts, require_writable=True)
            if len(accounts) < config.max_sessions:
                raise GatewayError("the memory for accounts is too small")
            fields["accounts"] = accounts
        self._gw = lib.gw_open(ffi.new("struct gw_config *", fields), error, ERROR_SIZE)
        if not self._gw:
            raise GatewayError(_text(error))

    def _start(self) -> None:
        error = ffi.new("char[]", ERROR_SIZE)
        if lib.gw_start(self._handle(), error, ERROR_SIZE):
            raise GatewayError(_text(error))

    def set_hosts(self, hosts: tuple[TlsHost, ...]) -> None:
        """Use other certificates for new handshakes. Raises ``GatewayError``, then nothing changes."""
        placed = keep_places(self._places, hosts)
        set_hosts(self._handle(), placed, self._ciphers, fips=self._fips)
        self._host_names = tuple(host.name for host in placed)
        self._places += self._host_names[len(self._places) :]

    def set_acme_challenges(self, challenges: tuple[TlsHost, ...]) -> None:
        """As ``Gateway.set_acme_challenges``."""
        set_acme_challenges(self._handle(), challenges)

    def send(self, connection_id: int, data: bytes) -> None:
        _check_command(lib.gw_connection_send(self._handle(), connection_id, data, len(data)), "send")

    def close_connection(self, connection_id: int) -> None:
        _check_command(lib.gw_connection_close(self._handle(), connection_id), "close_connection")

    def open_session(self, connection_id: int, parameters: TunnelParameters) -> int:
        ranges = pack_ranges(parameters.iroutes)
        config: dict[str, int | bytes | Bytes | RangesPointer | CountersStruct] = {
            "inner4": pack_address(parameters.ipv4),
            "inner6": pack_address(parameters.ipv6),
            "mtu": parameters.mtu,
            "dpd_s": parameters.dpd,
            "idle_s": parameters.idle_timeout,
            "rekey_s": parameters.rekey,
            "iroute_count": len(ranges),
            "iroutes_exposed": parameters.iroutes_exposed,
        }
        if ranges:
            config["iroutes"] = ffi.new("struct gw_address_range[]", ranges)  # kept by the table
        if parameters.key:
            config["key"] = ffi.from_buffer("uint8_t[]", parameters.key)
        if parameters.counters is not NO_COUNTERS:
            config["counters"] = _pack_counters(parameters.counters)
        session = ffi.new("uint64_t *")
        status = lib.gw_session_open(
            self._handle(), connection_id, ffi.new("struct gw_session_config *", config), session
        )
        _check(status, "open_session")
        if parameters.limits is not NO_LIMITS:
            self._limit_new(int(session[0]), parameters.limits)
        return int(session[0])

    def _limit_new(self, session: int, limits: TunnelLimits) -> None:
        """Raises ``GatewayError`` and closes the session: it must not run without its limits."""
        try:
            _check(set_limits(self._handle(), session, limits), "open_session")
        except GatewayError:
            self.close_session(session, b"")
            raise

    def new_budget(self) -> NativeBudget:
        return NativeBudget()

    def limit(self, session: int, limits: TunnelLimits) -> None:
        _check_command(set_limits(self._handle(), session, limits), "limit")

    def set_dtls(self, session: int, offer: DtlsOffer) -> None:
        status = lib.gw_session_dtls(self._handle(), session, _dtls_config(offer))
        _check_command(status, "set_dtls")

    def attach(self, session: int, connection_id: int, head: bytes, early: bytes) -> None:
        status = lib.gw_session_attach(self._handle(), session, connection_id, head, len(head), early, len(early))
        _check_command(status, "attach")

    def close_session(self, session: int, frame: bytes) -> None:
        _check_command(lib.gw_session_close(self._handle(), session, frame, len(frame)), "close_session")

    def resize(self, session: int, mtu: int) -> None:
        _check_command(lib.gw_session_resize(self._handle(), session, mtu), "resize")

    def ask(self, session: int) -> None:
        _check_command(lib.gw_session_ask(self._handle(), session), "ask")

    def counters(self, session: int) -> Counters:
        """Raises ``GatewayError`` for a session that is gone. Its ``SessionClosed`` has the final counters."""
        _check(lib.gw_session_counters(self._handle(), session, self._counters), "counters")
        return _counters(self._counters)

    def total_traffic(self) -> tuple[int, int]:
        carried = ffi.new("uint64_t[]", 2)
        lib.gw_traffic(self._handle(), carried)
        return carried[0], carried[1]

    def traffic(self, session: int) -> tuple[int, int]:
        _check(lib.gw_session_counters(self._handle(), session, self._counters), "counters")
        return self._counters.rx_bytes, self._counters.tx_bytes

    def stats(self) -> dict[str, int]:
        values = ffi.new("uint64_t[]", len(self._stat_names))
        lib.gw_stats(self._handle(), values, len(self._stat_names))
        return dict(zip(self._stat_names, values, strict=True))

    def signing_delay(self) -> float:
        return lib.gw_signing_delay(self._handle()) / 1000

    def turns(self) -> tuple[int, ...]:
        turns = ffi.new("uint64_t[]", MAX_WORKERS)
        return tuple(turns[worker] for worker in range(lib.gw_turns(self._handle(), turns, MAX_WORKERS)))

    def hold(self) -> None:
        lib.gw_hold(self._handle())

    def release(self) -> None:
        if self._gw:
            lib.gw_release(self._gw)

    def pause_accepting(self) -> None:
        if not self._paused:
            self._paused = True
            sockets.refuse(self._listeners)
            lib.gw_pause_accepting(self._handle())

    def resume_accepting(self) -> None:
        if self._paused:
            sockets.start_listening(self._listeners)
            lib.gw_resume_accepting(self._handle())
            self._paused = False

    def stop_accepting(self) -> None:
        self._listeners = ()  # the workers close them
        lib.gw_stop_accepting(self._handle())

    def close(self) -> None:
        """Idempotent. Nothing is sent after it returns."""
        gateway, self._gw = self._gw, None
        if gateway:
            lib.gw_close(gateway)
        self._accounts = None

    def fileno(self) -> int:
        return int(lib.gw_event_fd(self._handle()))

    def events(self) -> list[GatewayEvent]:
        result: list[GatewayEvent] = []
        for _ in range(ROUNDS_PER_CALL):
            count = lib.gw_events(self._handle(), self._events, EVENTS_PER_CALL, self._data, EVENT_DATA_SIZE)
            result += self._translate(count)
            if count < EVENTS_PER_CALL:
                break
        return result

    def _translate(self, count: int) -> Iterable[GatewayEvent]:
        position = 0
        for event in self._events[0:count]:
            size = event.data_size
            payload = ffi.buffer(self._data + position, size)[:] if size else b""
            position += size
            if event.kind == lib.GW_CONNECTION_UP:
                yield _connection_up(event, payload, self._host_names[event.host])
            else:
                yield _READERS[event.kind](event, payload)
        if position:
            ffi.memmove(self._data, bytes(position), position)  # a password may have been in it

    def _handle(self) -> GatewayPointer:
        if not self._gw:
            raise GatewayError("the gateway is closed")
        return self._gw


def _connection_up(event: EventStruct, payload: bytes, host: str) -> ConnectionUp:
    return ConnectionUp(
        connection_id=event.connection,
        peer=unpack_address(bytes(event.peer)),
        peer_port=event.peer_port,
        local_port=event.local_port,
        tls_version=TLS_VERSIONS.get(event.tls_version) or f"{event.tls_version:#06x}",
        cipher=sys.intern(_text(event.cipher)),  # one text for all sessions with the same cipher
        server_name=_text(event.server_name),
        resumed=bool(event.resumed),
        exporter_key=payload[:EXPORTED_KEY],
        proof_key=payload[EXPORTED_KEY : 2 * EXPORTED_KEY],
        peer_certificate=payload[EXPORTS:],
        bindings=_bindings(event.tls_version, payload[2 * EXPORTED_KEY : EXPORTS]),
        local_address=_server_address(bytes(event.local)),
        host=host,
    )


@lru_cache(maxsize=256)
def _server_address(packed: bytes) -> Address:
    """One object for all sessions that connected to the same address of the server."""
    return unpack_address(packed)


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
        cipher=_text(event.cipher),
    )


def _connection_closed(event: EventStruct, _: bytes) -> ConnectionClosed:
    peer = unpack_address(bytes(event.peer)) if event.cause == lib.GW_CAUSE_EVICTED else None
    return ConnectionClosed(event.connection, CAUSES[event.cause], peer)


def _channel_down(event: EventStruct, payload: bytes) -> ChannelDown:
    return ChannelDown(event.session, event.connection, CAUSES[event.cause], payload, _counters(event.counters))


# What makes an event of a struct and its payload, by kind. A kind that is not here is a fault of the build. A new
# connection needs the names of the hosts too.
_READERS: dict[int, Callable[[EventStruct, bytes], GatewayEvent]] = {
    lib.GW_CONNECTION_DATA: lambda event, payload: ConnectionData(event.connection, payload),
    lib.GW_CONNECTION_CLOSED: _connection_closed,
    lib.GW_CHANNEL_UP: lambda event, _: ChannelUp(event.session, event.connection),
    lib.GW_CHANNEL_DOWN: _channel_down,
    lib.GW_SESSION_IDLE: lambda event, _: SessionIdle(event.session),
    lib.GW_SESSION_ALIVE: lambda event, _: SessionAlive(event.session),
    lib.GW_TUN_DOWN: lambda *_: TunDown(),
    lib.GW_TUN_FAILING: lambda event, _: TunFailing(event.connection, event.error),
    lib.GW_SIGNER_DOWN: lambda *_: SignerDown(),
    lib.GW_PROXY_REFUSED: lambda event, why: ProxyRefused(unpack_address(bytes(event.peer)), why.decode()),
    lib.GW_QUOTA_EXCEEDED: lambda event, _: QuotaExceeded(event.session),
    lib.GW_SESSION_CLOSED: lambda event, _: SessionClosed(event.session, _counters(event.counters)),
    lib.GW_DTLS_UP: _dtls_up,
    lib.GW_DTLS_DOWN: lambda event, _: DtlsDown(event.session, CAUSES[event.cause]),
}


def _dtls_config(offer: DtlsOffer) -> DtlsConfigStruct:
    config = ffi.new("struct gw_dtls_config *")
    match offer:
        case DtlsPsk(app_id, key):
            config.mode, name, secret, sizes = lib.GW_DTLS_PSK, app_id, key, (32, 32)
        case DtlsCertificate(app_id=app_id, key=key):
            config.mode, name, secret, sizes = lib.GW_DTLS_CERTIFICATE, app_id, key, (32, 32)
        case DtlsResumption(session_id, master_secret, cipher):
            config.mode, name, secret, sizes = lib.GW_DTLS_RESUMPTION, session_id, master_secret, (32, 48)
            if lib.gw_dtls_suite_find(cipher.encode(), config.suite):
                raise GatewayError(f"set_dtls: {cipher!r} is not among the suites of DTLS")
    if (len(name), len(secret)) != sizes:
        raise GatewayError(
            f"set_dtls: name and secret are {len(name)} and {len(secret)} bytes, not {sizes[0]} and {sizes[1]}"
        )
    ffi.memmove(config.name, name, len(name))
    ffi.memmove(config.secret, secret, len(secret))
    return config


def _counters(counters: CountersStruct) -> Counters:
    return Counters(
        rx_packets=counters.rx_packets,
        rx_bytes=counters.rx_bytes,
        tx_packets=counters.tx_packets,
        tx_bytes=counters.tx_bytes,
        rx_dropped=counters.rx_dropped,
        tx_dropped=counters.tx_dropped,
        last_data=counters.last_data_ns / 1e9,
        dtls_rx_packets=counters.dtls_rx_packets,
        dtls_rx_bytes=counters.dtls_rx_bytes,
        dtls_tx_packets=counters.dtls_tx_packets,
        dtls_tx_bytes=counters.dtls_tx_bytes,
    )


def _pack_counters(counters: Counters) -> CountersStruct:
    values = asdict(counters)
    values["last_data_ns"] = round(values.pop("last_data") * 1e9)
    return ffi.new("struct gw_counters *", values)


def _text(chars: Text) -> str:
    # The peer chose the server name, so its bytes are escaped to printable text.
    return _printable(bytes(ffi.string(chars)))


@lru_cache(maxsize=256)
def _printable(name: bytes) -> str:
    return name.decode("latin-1").encode("unicode_escape").decode("ascii")


def _stat_names() -> tuple[str, ...]:
    names: list[str] = []
    while name := lib.gw_stat_name(len(names)):
        names.append(_text(name))
    return tuple(names)


def _check(status: int, what: str) -> None:
    if status < 0:
        _refuse(status, what)


def _check_command(status: int, what: str) -> None:
    """Ignores ``ENOENT``: the object has ended, and an event that says so follows."""
    if status < 0 and status != -errno.ENOENT:
        _refuse(status, what)


def _refuse(status: int, what: str) -> NoReturn:
    reasons = {
        -errno.ENOBUFS: "the worker's mailbox is full",
        -errno.ENOSPC: "all session slots are taken",
        -errno.ENOENT: "there is no such session",
    }
    raise GatewayError(f"{what}: {reasons.get(status, os.strerror(-status))}")
