# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway in C (``native/``) behind the interface ``Gateway``.

Owns the native object and converts: addresses to 16 bytes, structs to events, negative errno to ``GatewayError``. No
packet passes through here.
"""

from __future__ import annotations

import errno
import os
from dataclasses import asdict
from struct import Struct
from typing import TYPE_CHECKING, NoReturn

from vpn_frontend._gateway import ffi, lib
from vpn_frontend.gateway import sockets
from vpn_frontend.gateway.interface import (
    NO_COUNTERS,
    Counters,
    DtlsCertificate,
    DtlsOffer,
    DtlsPsk,
    DtlsResumption,
    GatewayConfig,
    GatewayError,
    GatewayEvent,
    TunnelParameters,
)
from vpn_frontend.gateway.limits import NO_LIMITS
from vpn_frontend.gateway.native_events import EventReader, read_counters, read_text
from vpn_frontend.gateway.native_hosts import keep_places, set_acme_challenges, set_hosts
from vpn_frontend.gateway.native_limits import MAPPED, NativeBudget, pack_ranges, set_limits
from vpn_frontend.settings import MAX_WORKERS

if TYPE_CHECKING:
    from vpn_frontend._gateway import (
        AccountsPointer,
        Bytes,
        CountersStruct,
        DtlsConfigStruct,
        GatewayPointer,
        Pointer,
        RangesPointer,
    )
    from vpn_frontend.gateway.interface import TlsHost
    from vpn_frontend.gateway.limits import TunnelLimits
    from vpn_frontend.settings import Address

ERROR_SIZE = 256
NO_ADDRESS = bytes(16)
NO_KEY = bytes(16)
# Native alignment, as the struct has it; a test compares the places of all fields.
SESSION_CONFIG = Struct("@16s16s6I3P")
NO_BROADCAST = 31  # bits: from this prefix length on an IPv4 network has no broadcast address (RFC 3021)


def pack_address(address: Address | None) -> bytes:
    if address is None:
        return NO_ADDRESS
    return address.packed if address.version == 6 else MAPPED + address.packed


def open_gateway(config: GatewayConfig) -> NativeGateway:
    """Start a gateway. Connections are accepted when this returns. Raises ``GatewayError``."""
    return NativeGateway(config)


class _OwnedDescriptors:
    """Descriptors whose ownership has not passed to the native object yet."""

    def __init__(self, config: GatewayConfig) -> None:
        self._listeners = [(worker, fd) for worker, row in enumerate(config.listeners) for fd in row]
        # Reversed, as they are taken from the end: a worker's first queue must be the first it gets, and sockets of
        # one endpoint need the same position in each worker.
        self._tuns = [(index % len(config.listeners), fd) for index, fd in enumerate(config.tuns)][::-1]
        self._signers = list(enumerate(config.signers))
        self._udp = [(worker, fd) for worker, row in enumerate(config.udp) for fd in row][::-1]

    def hand_over(self, gateway: GatewayPointer) -> None:
        while self._tuns:
            _check(lib.gw_add_tun(gateway, *self._tuns[-1]), "TUN queue")
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
        self._events = EventReader()
        self._counters = ffi.new("struct gw_counters *")
        # What ``open_session`` tells and gets. cffi takes longer to make and fill such a struct than C to read it.
        self._config, self._session = ffi.new("struct gw_session_config *"), ffi.new("uint64_t *")
        self._config_bytes = memoryview(ffi.buffer(self._config))
        key = ffi.new("uint8_t[]", len(NO_KEY))
        self._key, self._key_address = memoryview(ffi.buffer(key)), int(ffi.cast("uintptr_t", key))
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
            "workers": len(config.listeners),
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
            raise GatewayError(read_text(error))

    def _start(self) -> None:
        error = ffi.new("char[]", ERROR_SIZE)
        if lib.gw_start(self._handle(), error, ERROR_SIZE):
            raise GatewayError(read_text(error))

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
        # The gateway copies what is pointed to. It has to live until the call returns.
        iroutes = ffi.new("struct gw_address_range[]", ranges) if ranges else None
        counters = None if parameters.counters is NO_COUNTERS else _pack_counters(parameters.counters)
        self._key[:] = parameters.key or NO_KEY
        SESSION_CONFIG.pack_into(
            self._config_bytes,
            0,
            pack_address(parameters.ipv4),
            pack_address(parameters.ipv6),
            parameters.mtu,
            parameters.dpd,
            parameters.rekey,
            parameters.idle_timeout,
            len(ranges),
            parameters.iroutes_exposed,
            0 if iroutes is None else int(ffi.cast("uintptr_t", iroutes)),
            self._key_address,
            0 if counters is None else int(ffi.cast("uintptr_t", counters)),
        )
        _check(lib.gw_session_open(self._handle(), connection_id, self._config, self._session), "open_session")
        session = self._session[0]
        if parameters.limits is not NO_LIMITS:
            self._limit_new(session, parameters.limits)
        return session

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
        return read_counters(self._counters)

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
        return self._events.read(self._handle(), self._host_names)

    def _handle(self) -> GatewayPointer:
        if not self._gw:
            raise GatewayError("the gateway is closed")
        return self._gw


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


def _pack_counters(counters: Counters) -> CountersStruct:
    values = asdict(counters)
    values["last_data_ns"] = round(values.pop("last_data") * 1e9)
    return ffi.new("struct gw_counters *", values)


def _stat_names() -> tuple[str, ...]:
    names: list[str] = []
    while name := lib.gw_stat_name(len(names)):
        names.append(read_text(name))
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
