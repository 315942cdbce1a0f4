# SPDX-License-Identifier: GPL-3.0-or-later
# The module that native/build.py makes of native/gateway.h. tests/vpn_frontend/gateway/test_native_border.py compares
# it with this stub.
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, Literal, SupportsInt, TypeVar, overload

_T = TypeVar("_T")

class Array(Generic[_T]):
    @overload
    def __getitem__(self, index: int, /) -> _T: ...
    @overload
    def __getitem__(self, index: slice, /) -> Array[_T]: ...
    def __iter__(self) -> Iterator[_T]: ...
    def __len__(self) -> int: ...

class Bytes:  # uint8_t[], or a pointer into one
    def __add__(self, offset: int, /) -> Bytes: ...
    def __bytes__(self) -> bytes: ...

class Text: ...  # char[] or char *
class Pointer: ...  # void *
class GatewayPointer: ...  # gw *
class RestrictionPointer: ...  # gw_restriction *
class BudgetPointer: ...  # gw_budget *
class SignerPointer: ...  # gw_signer *
class RangesPointer: ...  # struct gw_address_range[]

class AccountsPointer:  # struct gw_account[]
    def __len__(self) -> int: ...

class PortsPointer: ...  # struct gw_port_range[]
class RestrictionConfigStruct: ...
class ConfigStruct: ...
class TlsStruct: ...
class CertificatesPointer: ...  # struct gw_certificate[]
class HostsPointer: ...  # struct gw_tls_host[]
class SessionConfigStruct: ...

class DtlsConfigStruct:
    mode: int
    name: Bytes
    secret: Bytes
    suite: Bytes
    host: int

class SessionLimitsStruct:
    restriction: RestrictionPointer
    budgets: BudgetArray

class BudgetArray:
    def __setitem__(self, index: int, budget: BudgetPointer, /) -> None: ...

class CountersStruct:
    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    rx_dropped: int
    tx_dropped: int
    last_data_ns: int
    dtls_rx_packets: int
    dtls_rx_bytes: int
    dtls_tx_packets: int
    dtls_tx_bytes: int

class EventStruct:
    kind: int
    cause: int
    connection: int
    session: int
    peer: Bytes
    local: Bytes
    peer_port: int
    local_port: int
    tls_version: int
    resumed: int
    cipher: Text
    server_name: Text
    host: int
    counters: CountersStruct
    data_size: int
    error: int
    frees_place: int

class _Ffi:
    @overload
    def new(self, kind: Literal["struct gw_event[]"], count: int, /) -> Array[EventStruct]: ...
    @overload
    def new(self, kind: Literal["uint64_t[]"], count: int, /) -> Array[int]: ...
    @overload
    def new(self, kind: Literal["uint64_t *"], /) -> Array[int]: ...
    @overload
    def new(self, kind: Literal["uint8_t[]"], count: int, /) -> Bytes: ...
    @overload
    def new(self, kind: Literal["char[]"], count: int, /) -> Text: ...
    @overload
    def new(
        self,
        kind: Literal["struct gw_config *"],
        values: Mapping[str, int | Pointer | Bytes | RangesPointer | AccountsPointer],
        /,
    ) -> ConfigStruct: ...
    @overload
    def new(self, kind: Literal["char[]"], text: bytes, /) -> Text: ...
    @overload
    def new(
        self, kind: Literal["struct gw_certificate[]"], values: list[dict[str, int | Bytes]], /
    ) -> CertificatesPointer: ...
    @overload
    def new(self, kind: Literal["struct gw_tls_host[]"], values: list[dict[str, object]], /) -> HostsPointer: ...
    @overload
    def new(
        self, kind: Literal["struct gw_tls *"], values: Mapping[str, int | Text | HostsPointer], /
    ) -> TlsStruct: ...
    @overload
    def new(self, kind: Literal["struct gw_session_config *"], /) -> SessionConfigStruct: ...
    @overload
    def new(self, kind: Literal["struct gw_dtls_config *"], /) -> DtlsConfigStruct: ...
    @overload
    def new(
        self, kind: Literal["struct gw_counters *"], values: Mapping[str, int] | None = None, /
    ) -> CountersStruct: ...
    @overload
    def new(
        self, kind: Literal["struct gw_address_range[]"], values: list[tuple[bytes, bytes]], /
    ) -> RangesPointer: ...
    @overload
    def new(self, kind: Literal["struct gw_port_range[]"], values: list[tuple[int, int, int]], /) -> PortsPointer: ...
    @overload
    def new(
        self,
        kind: Literal["struct gw_restriction_config *"],
        values: Mapping[str, int | RangesPointer | PortsPointer],
        /,
    ) -> RestrictionConfigStruct: ...
    @overload
    def new(self, kind: Literal["struct gw_session_limits *"], /) -> SessionLimitsStruct: ...
    def gc(self, pointer: _T, release: Callable[[_T], None], /) -> _T: ...
    @overload
    def cast(self, kind: Literal["void *"], address: int, /) -> Pointer: ...
    @overload
    def cast(self, kind: Literal["uintptr_t"], pointer: Bytes | RangesPointer | CountersStruct, /) -> SupportsInt: ...
    @overload
    def from_buffer(self, kind: Literal["uint8_t[]"], data: bytes, /) -> Bytes: ...
    @overload
    def from_buffer(
        self, kind: Literal["struct gw_account[]"], data: memoryview, /, *, require_writable: bool
    ) -> AccountsPointer: ...
    def buffer(
        self, memory: Array[EventStruct] | Bytes | CountersStruct | SessionConfigStruct, /
    ) -> bytearray: ...  # its memory, not a copy
    def sizeof(self, kind: str, /) -> int: ...
    def offsetof(self, kind: str, field: str, /) -> int: ...
    def string(self, text: Text, /) -> bytes: ...
    def memmove(self, target: Bytes, source: bytes, size: int, /) -> None: ...

class _Lib:
    # enum gw_limit
    GW_WORKERS_MAX: int
    GW_MTU_MIN: int
    GW_EXPORTER_SIZE: int
    GW_SERVER_NAME_SIZE: int
    GW_HOSTS_MAX: int
    GW_CERTIFICATES_MAX: int
    GW_OCSP_MAX: int
    GW_DHE_PER_SECOND: int
    GW_KEY_RSA: int
    GW_KEY_P256: int
    GW_KEY_P384: int
    GW_KEY_P521: int
    GW_KEY_ED25519: int
    GW_EXPORTS_SIZE: int
    GW_FINISHED_MAX: int
    GW_PEER_CERTIFICATE_MAX: int
    GW_BUDGETS: int
    GW_RESTRICTION_NETWORKS_MAX: int
    GW_RESTRICTION_PORTS_MAX: int
    GW_PROXIES_MAX: int
    GW_IROUTES_MAX: int
    GW_SIGNER_KEY_MAX: int
    # enum gw_revocation_check
    GW_REVOCATION_OFF: int
    GW_REVOCATION_LEAF: int
    GW_REVOCATION_CHAIN: int
    # enum gw_port_rule
    GW_PORTS_ANY: int
    GW_PORTS_ONLY: int
    GW_PORTS_EXCEPT: int
    # enum gw_offload
    GW_OFFLOAD_TSO: int
    GW_OFFLOAD_USO: int
    GW_OFFLOAD_COALESCE: int
    GW_OFFLOAD_UDP_GSO: int
    GW_OFFLOAD_UDP_GRO: int
    GW_OFFLOAD_ACKS: int
    GW_OFFLOAD_ALL: int
    # enum gw_dtls_mode
    GW_DTLS_NONE: int
    GW_DTLS_PSK: int
    GW_DTLS_RESUMPTION: int
    GW_DTLS_CERTIFICATE: int
    # enum gw_event_kind
    GW_CONNECTION_UP: int
    GW_CONNECTION_DATA: int
    GW_CONNECTION_CLOSED: int
    GW_CHANNEL_UP: int
    GW_CHANNEL_DOWN: int
    GW_SESSION_IDLE: int
    GW_SESSION_CLOSED: int
    GW_DTLS_UP: int
    GW_DTLS_DOWN: int
    GW_SESSION_ALIVE: int
    GW_TUN_DOWN: int
    GW_SIGNER_DOWN: int
    GW_TUN_FAILING: int
    GW_QUOTA_EXCEEDED: int
    GW_PROXY_REFUSED: int
    # enum gw_cause
    GW_CAUSE_NONE: int
    GW_CAUSE_PEER_CLOSED: int
    GW_CAUSE_PEER_RESET: int
    GW_CAUSE_PEER_DISCONNECT: int
    GW_CAUSE_HANDSHAKE_FAILED: int
    GW_CAUSE_TIMEOUT: int
    GW_CAUSE_DPD: int
    GW_CAUSE_PROTOCOL: int
    GW_CAUSE_STALLED: int
    GW_CAUSE_LOCAL: int
    GW_CAUSE_REPLACED: int
    GW_CAUSE_EVICTED: int

    def gw_open(self, config: ConfigStruct, error: Text, error_size: int, /) -> GatewayPointer: ...
    def gw_set_tls(self, g: GatewayPointer, tls: TlsStruct, error: Text, error_size: int, /) -> int: ...
    def gw_set_acme(self, g: GatewayPointer, tls: TlsStruct, error: Text, error_size: int, /) -> int: ...
    def gw_add_listener(self, g: GatewayPointer, worker: int, fd: int, /) -> int: ...
    def gw_add_tun(self, g: GatewayPointer, worker: int, fd: int, /) -> int: ...
    def gw_add_udp(self, g: GatewayPointer, worker: int, fd: int, /) -> int: ...
    def gw_set_signer(self, g: GatewayPointer, worker: int, fd: int, /) -> int: ...
    def gw_signing_delay(self, g: GatewayPointer, /) -> int: ...
    def gw_signer_new(self) -> SignerPointer: ...
    def gw_signer_free(self, signer: SignerPointer, /) -> None: ...
    def gw_signer_add(
        self,
        signer: SignerPointer,
        key: int,
        key_type: int,
        der: bytes,
        size: int,
        error: Text,
        error_size: int,
        /,
    ) -> int: ...
    def gw_signer_forget(self, signer: SignerPointer, before: int, /) -> None: ...
    def gw_signer_serve(self, signer: SignerPointer, fd: int, /) -> int: ...
    def gw_start(self, g: GatewayPointer, error: Text, error_size: int, /) -> int: ...
    def gw_pause_accepting(self, g: GatewayPointer, /) -> None: ...
    def gw_resume_accepting(self, g: GatewayPointer, /) -> None: ...
    def gw_stop_accepting(self, g: GatewayPointer, /) -> None: ...
    def gw_close(self, g: GatewayPointer, /) -> None: ...
    def gw_hold(self, g: GatewayPointer, /) -> None: ...
    def gw_release(self, g: GatewayPointer, /) -> None: ...
    def gw_event_fd(self, g: GatewayPointer, /) -> int: ...
    def gw_events(
        self, g: GatewayPointer, events: Array[EventStruct], count: int, data: Bytes, data_size: int, /
    ) -> int: ...
    def gw_connection_send(self, g: GatewayPointer, connection: int, data: bytes, size: int, /) -> int: ...
    def gw_connection_close(self, g: GatewayPointer, connection: int, /) -> int: ...
    def gw_session_open(
        self, g: GatewayPointer, connection: int, config: SessionConfigStruct, session: Array[int], /
    ) -> int: ...
    def gw_session_attach(
        self,
        g: GatewayPointer,
        session: int,
        connection: int,
        head: bytes,
        head_size: int,
        early: bytes,
        early_size: int,
        /,
    ) -> int: ...
    def gw_session_close(self, g: GatewayPointer, session: int, frame: bytes, frame_size: int, /) -> int: ...
    def gw_session_resize(self, g: GatewayPointer, session: int, mtu: int, /) -> int: ...
    def gw_session_ask(self, g: GatewayPointer, session: int, /) -> int: ...
    def gw_session_counters(self, g: GatewayPointer, session: int, counters: CountersStruct, /) -> int: ...
    def gw_traffic(self, g: GatewayPointer, carried: Array[int], /) -> None: ...
    def gw_session_dtls(self, g: GatewayPointer, session: int, config: DtlsConfigStruct, /) -> int: ...
    def gw_restriction_new(self, config: RestrictionConfigStruct, /) -> RestrictionPointer: ...
    def gw_restriction_release(self, restriction: RestrictionPointer, /) -> None: ...
    def gw_budget_new(self, /) -> BudgetPointer: ...
    def gw_budget_release(self, budget: BudgetPointer, /) -> None: ...
    def gw_budget_set_rates(self, budget: BudgetPointer, from_client: int, to_client: int, /) -> None: ...
    def gw_budget_set_quota(self, budget: BudgetPointer, size: int, /) -> None: ...
    def gw_budget_quota(self, budget: BudgetPointer, /) -> int: ...
    def gw_session_limit(self, g: GatewayPointer, session: int, limits: SessionLimitsStruct, /) -> int: ...
    def gw_dtls_suite_find(self, name: bytes, suite: Bytes, /) -> int: ...
    def gw_fips_problem(self) -> Text: ...
    def gw_stat_name(self, index: int, /) -> Text: ...
    def gw_turns(self, g: GatewayPointer, turns: Array[int], count: int, /) -> int: ...
    def gw_stats(self, g: GatewayPointer, values: Array[int], count: int, /) -> None: ...

ffi: _Ffi
lib: _Lib
