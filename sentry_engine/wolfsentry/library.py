# SPDX-License-Identifier: GPL-3.0-or-later
"""Binding to libwolfsentry, with the interface of ``RouteTable``.

It is built if ``OCSENTRY_WOLFSENTRY`` names the library's prefix at build time. Otherwise the import raises
``ImportError`` with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, cast

from sentry_engine.cores.native.types import Array
from sentry_engine.errors import PolicyError, Problem
from sentry_engine.wolfsentry.flags import read_results, write_results
from sentry_engine.wolfsentry.model import Configuration
from sentry_engine.wolfsentry.native_types import LibraryGatePointer, LibraryPointer, TrafficStruct
from sentry_engine.wolfsentry.table import Outcome
from sentry_engine.wolfsentry.traffic import INET, Traffic, make_target
from sentry_engine.wolfsentry.writer import write_config

try:
    from sentry_engine._wolfsentry import ffi, lib
except ImportError as error:
    raise ImportError(
        f"the binding to libwolfsentry is not built ({error}): install the library with its header, "
        "and build again with OCSENTRY_WOLFSENTRY set to its prefix"
    ) from error

MAX_ERROR = 512  # octets of an error text
MAX_DUMP = 256 * 1024 * 1024  # octets
BUILT_IN = 2  # numbers that the library gives its own objects, before events and routes
MICROSECONDS = 1_000_000


class Library:
    """One configuration in force in the library, until ``close`` or garbage collection."""

    def __init__(self, config: Configuration, *, file: str = "configuration", now: float = 0.0) -> None:
        """Raises ``PolicyError`` if the library refuses the configuration."""
        self._handle: LibraryPointer | None = None
        text = write_config(config, file=file)
        handle, reason = ffi.new("struct se_ws **"), ffi.new("char[]", MAX_ERROR)
        code = lib.se_ws_open(text, len(text), int(now * MICROSECONDS), handle, reason, MAX_ERROR)
        if code:
            said = ffi.string(reason).decode(errors="replace") or f"error {-code}"
            raise PolicyError([Problem(file, "", f"libwolfsentry refuses it: {said}")])
        self._handle = handle[0]
        self._labels = frozenset(event.label for event in config.events)
        self._first_route = BUILT_IN + len(config.events)

    def dispatch(
        self, traffic: Traffic, results: Collection[str] = (), *, now: float, event: str | None = None
    ) -> Outcome:
        """As ``RouteTable.dispatch``."""
        said, route = ffi.new("uint32_t *", write_results(set(results))), ffi.new("uint32_t *")
        asked = fill_traffic(traffic)
        label = ffi.NULL if event is None else event.encode()
        if lib.se_ws_dispatch(self._require_open(), asked, label, int(now * MICROSECONDS), said, route):
            raise ValueError(f"libwolfsentry refuses the question about {traffic.remote.address}")
        return Outcome(read_results(said[0]), route[0] - self._first_route if route[0] else None)

    def preview(
        self, traffic: Traffic, results: Collection[str] = (), *, now: float, event: str | None = None
    ) -> Outcome:
        """``dispatch`` without results or event: the library has no dry run, and this counts only the hit."""
        del results, event
        return self.dispatch(traffic, now=now)

    def knows_event(self, label: str) -> bool:
        return label in self._labels

    def prepare(self, traffic: Sequence[Traffic]) -> Array[TrafficStruct]:
        """Traffic in the form that ``ask_each`` takes."""
        asked = ffi.new("struct se_ws_traffic[]", len(traffic))
        for at, one in enumerate(traffic):
            fill_traffic(one, ffi.addressof(asked, at))
        return asked

    def ask_each(self, asked: Array[TrafficStruct], *, now: float) -> list[int]:
        """Result bits of each, in one call, without results or event."""
        results = ffi.new("uint32_t[]", len(asked))
        if lib.se_ws_dispatch_many(self._require_open(), asked, len(asked), int(now * MICROSECONDS), results):
            raise ValueError("libwolfsentry refuses a question")
        return list(results)

    def dump(self) -> dict[str, Any]:
        """The library's own dump of its routes."""
        room = 65_536
        while room <= MAX_DUMP:
            out = ffi.new("char[]", room)
            written = lib.se_ws_dump(self._require_open(), out, room)
            if written >= 0:
                document: dict[str, Any] = json.loads(bytes(ffi.buffer(out, written)))
                return document
            room *= 4
        raise ValueError("the library's routes do not fit in a dump")

    def close(self) -> None:
        if self._handle is not None:
            handle, self._handle = self._handle, None
            lib.se_ws_close(handle)

    def __del__(self) -> None:
        self.close()

    def _require_open(self) -> LibraryPointer:
        if self._handle is None:
            raise RuntimeError("the library's table is closed")
        return self._handle


def fill_traffic(traffic: Traffic, asked: TrafficStruct | None = None) -> TrafficStruct:
    """Fill ``asked``, a ``struct se_ws_traffic *``; ``None``: a new one."""
    target = make_target(traffic)
    asked = ffi.new("struct se_ws_traffic *") if asked is None else asked
    ffi.memmove(asked.remote, target.remote, len(target.remote))
    ffi.memmove(asked.local, target.local, len(target.local))
    asked.remote_port, asked.local_port, asked.protocol = traffic.remote.port, traffic.local.port, traffic.protocol
    asked.remote_interface, asked.local_interface = traffic.remote.interface, traffic.local.interface
    asked.is_ipv4, asked.is_inbound = target.family == INET, traffic.inbound
    return asked


class LibraryGate:
    """A ``struct se_gate`` that puts tables of the library between two cores (``native/routes_gate.h``)."""

    def __init__(self, front: int, inner: int) -> None:
        """Takes addresses of gates. Requires that their cores outlive this object."""
        gate = lib.se_ws_gate_open(ffi.cast("void *", front), ffi.cast("void *", inner))
        if gate == ffi.NULL:
            raise MemoryError
        self._gate = cast("LibraryGatePointer", gate)

    @property
    def address(self) -> int:
        return int(ffi.cast("uintptr_t", lib.se_ws_gate_table(self._gate)))

    def put(self, tables: Sequence[Library]) -> None:
        """Put tables in force at once. Raises ``ValueError`` for more than 16."""
        handles = [table._require_open() for table in tables]  # noqa: SLF001  # same module
        if lib.se_ws_gate_set(self._gate, handles, len(handles)):
            raise ValueError(f"a gate asks {lib.SE_WS_MAX_TABLES} configurations at most, not {len(handles)}")

    def close(self) -> None:
        """Requires that no thread calls the gate."""
        lib.se_ws_gate_close(self._gate)
