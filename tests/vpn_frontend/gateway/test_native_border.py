# SPDX-License-Identifier: GPL-3.0-or-later
"""Python's view of the gateway's core against the compiled module: stub, structures, shared numbers."""

from __future__ import annotations

import ast
import re
import struct
from pathlib import Path

import pytest

import vpn_frontend
from vpn_frontend._gateway import ffi, lib
from vpn_frontend.gateway import descriptors, native_events, native_gateway
from vpn_frontend.gateway.certificates.server_certificate import KeyType
from vpn_frontend.gateway.interface import DTLS12_SUITES, OC_DTLS12_SUITES, Cause, Offload
from vpn_frontend.gateway.limits import MAX_BUDGETS
from vpn_frontend.protocol.constants import MIN_MTU
from vpn_frontend.settings import MAX_CERTIFICATES, MAX_HOSTS, MAX_IROUTES
from vpn_frontend.validation import MAX_WORKERS

STUB = ast.parse(Path(vpn_frontend.__file__).with_name("_gateway.pyi").read_text(encoding="utf-8"))
STRUCTS = {
    "EventStruct": "struct gw_event",
    "CountersStruct": "struct gw_counters",
    "DtlsConfigStruct": "struct gw_dtls_config",
    "SessionLimitsStruct": "struct gw_session_limits",
}
KINDS = {
    "int": "primitive",
    "Bytes": "array",
    "Text": "array",
    "CountersStruct": "struct",
    "BudgetArray": "array",
    "RestrictionPointer": "pointer",
}


def stub_class(name: str) -> ast.ClassDef:
    return next(node for node in STUB.body if isinstance(node, ast.ClassDef) and node.name == name)


def attributes(name: str) -> dict[str, str]:
    found = [node for node in stub_class(name).body if isinstance(node, ast.AnnAssign)]
    return {node.target.id: ast.unparse(node.annotation) for node in found if isinstance(node.target, ast.Name)}


def enumerators(name: str, prefix: str) -> dict[str, int]:
    return {text.removeprefix(prefix): number for number, text in ffi.typeof(f"enum {name}").elements.items()}


def test_the_stub_has_the_functions_of_the_module():
    stub = {
        node.name: len(node.args.posonlyargs + node.args.args) - 1
        for node in stub_class("_Lib").body
        if isinstance(node, ast.FunctionDef)
    }
    made = {name: len(ffi.typeof(getattr(lib, name)).args) for name in dir(lib) if callable(getattr(lib, name))}
    assert stub == made


def test_the_stub_has_the_constants_of_the_module():
    assert set(attributes("_Lib")) == {name for name in dir(lib) if not callable(getattr(lib, name))}


@pytest.mark.parametrize(("name", "struct"), STRUCTS.items())
def test_the_stub_has_the_fields_of_a_structure(name, struct):
    fields = dict(ffi.typeof(struct).fields)
    assert {field: KINDS[kind] for field, kind in attributes(name).items()} == {
        field: described.type.kind for field, described in fields.items()
    }


def places(layout: str, start: int = 0) -> list[int]:
    """Where the fields of a ``struct`` format stand, in its native alignment, if it begins at ``start``."""
    fields = re.findall(r"\d+[sx]|[A-Za-z]", re.sub(r"(\d+)([A-Zace-rt-wyz])", lambda f: f[2] * int(f[1]), layout[1:]))
    sizes = [struct.calcsize("@" + "".join(fields[: count + 1])) for count in range(len(fields))]
    ends = [start + size - struct.calcsize("@" + field) for size, field in zip(sizes, fields, strict=True)]
    return [end for end, field in zip(ends, fields, strict=True) if not field.endswith("x")]


@pytest.mark.parametrize(
    ("layout", "kind", "first", "names"),
    [
        (native_events.COMMON, "struct gw_event", "kind", "kind cause connection session data_size"),
        (
            native_events.PEER,
            "struct gw_event",
            "peer",
            "peer local peer_port local_port tls_version resumed cipher server_name host",
        ),
        (
            native_events.COUNTERS,
            "struct gw_counters",
            "rx_packets",
            (
                "rx_packets rx_bytes tx_packets tx_bytes rx_dropped tx_dropped last_data_ns dtls_rx_packets "
                "dtls_rx_bytes dtls_tx_packets dtls_tx_bytes"
            ),
        ),
        (
            native_gateway.SESSION_CONFIG,
            "struct gw_session_config",
            "inner4",
            "inner4 inner6 mtu dpd_s rekey_s idle_s iroute_count iroutes_exposed iroutes key counters",
        ),
    ],
    ids=["common", "peer", "counters", "session"],
)
def test_layouts_are_those_of_the_structures(layout, kind, first, names):
    start = ffi.offsetof(kind, first)
    assert places(layout.format, start) == [ffi.offsetof(kind, name) for name in names.split()]
    sizes = {name: ffi.sizeof(field.type) for name, field in ffi.typeof(kind).fields}
    last = names.split()[-1]
    assert start + layout.size == ffi.offsetof(kind, last) + sizes[last]


def test_causes_are_numbered_alike():
    assert {cause.name: cause.value for cause in Cause} == enumerators("gw_cause", "GW_CAUSE_")


def test_keys_and_bounds_of_hosts_are_alike():
    assert {kind.name: kind.value for kind in KeyType} == enumerators("gw_key_type", "GW_KEY_")
    assert (MAX_HOSTS + 1, MAX_CERTIFICATES + 1) == (lib.GW_HOSTS_MAX, lib.GW_CERTIFICATES_MAX)
    assert lib.GW_IROUTES_MAX == MAX_IROUTES


def test_offloads_are_numbered_alike():
    made = enumerators("gw_offload", "GW_OFFLOAD_")
    assert {offload.name: offload.value for offload in Offload} | {"ALL": Offload.ALL.value} == made


def test_every_event_is_translated():
    kinds = set(enumerators("gw_event_kind", "").values())
    at_login = {
        lib.GW_CONNECTION_UP, lib.GW_CONNECTION_DATA, lib.GW_CHANNEL_UP, lib.GW_CHANNEL_DOWN, lib.GW_SESSION_CLOSED
    }  # fmt: skip
    assert native_events._READERS.keys() | at_login == kinds


def test_the_suites_of_dtls_are_the_cores():
    suite = ffi.new("uint8_t[2]")
    assert [lib.gw_dtls_suite_find(name.encode(), suite) for name in (*DTLS12_SUITES, *OC_DTLS12_SUITES)] == [0] * 8


def test_limits_of_the_settings_are_the_cores():
    assert (descriptors.MAX_WORKERS, MAX_WORKERS) == (lib.GW_WORKERS_MAX, lib.GW_WORKERS_MAX)
    assert MIN_MTU >= lib.GW_MTU_MIN
    assert lib.GW_BUDGETS == MAX_BUDGETS


def test_a_batch_of_events_holds_the_largest_payload():
    largest = lib.GW_EXPORTS_SIZE + lib.GW_PEER_CERTIFICATE_MAX
    assert largest <= native_events.EVENT_DATA_SIZE
