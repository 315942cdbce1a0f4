# SPDX-License-Identifier: GPL-3.0-or-later
"""wolfSentry as a peer, if the binding is built: the same prefixes as routes that reject; hits and misses.

Both are called from C: ``answer_words`` and ``se_ws_dispatch_many``. The library searches its routes linearly, so it
gets fewer addresses. ``RouteTable`` is this project's implementation of the same file format, in Python.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from bench.engine.figures import Figure, best_of
from bench.engine.policies import V4_MAPPED, Prefixes, build_plan, draw_prefixes
from sentry_engine.addresses import render_address
from sentry_engine.cores.native.core import NativeCore
from sentry_engine.verdict import Event
from sentry_engine.wolfsentry import Endpoint, RouteTable, Traffic, read_config

if TYPE_CHECKING:
    from sentry_engine.wolfsentry.library import Library

SIZES = (1, 10_000)
ASKED = 256
STEPS = 160_000  # routes that the library compares in one round


def measure_wolfsentry() -> Iterator[Figure]:
    """Yields nothing if the binding is not built."""
    try:
        from sentry_engine.wolfsentry.library import Library  # noqa: PLC0415  # optional
    except ImportError:
        return
    for size in SIZES:
        prefixes = widen(draw_prefixes(4, size))
        count = len(prefixes.rows)
        config = read_config(write_document(prefixes), file="bench")
        began = time.perf_counter()
        library = Library(config, now=1.0)
        yield Figure("IPv4 routes loaded", count, "wolfSentry", time.perf_counter() - began, "s")
        began = time.perf_counter()
        table = RouteTable(config)
        yield Figure("IPv4 routes loaded", count, "RouteTable", time.perf_counter() - began, "s")
        core = NativeCore()
        core.publish(build_plan(prefixes))
        for what, drawn in (("hit", draw_hits(prefixes)), ("miss", draw_misses(prefixes))):
            yield from ask(f"IPv4 decision, {what}", count, core, library, table, drawn)
        core.close()
        library.close()


def ask(
    name: str, size: int, core: NativeCore, library: Library, table: RouteTable, drawn: list[int]
) -> Iterator[Figure]:
    packed = b"".join((V4_MAPPED | address).to_bytes(16) for address in drawn)
    traffic = [Traffic(Endpoint(render_address((V4_MAPPED | address).to_bytes(16)))) for address in drawn]
    few = library.prepare(traffic[: max(1, STEPS // size)])
    took = best_of(60, lambda: core.answer_words(packed, Event.SESSION_START, 1.0), ASKED)
    yield Figure(name, size, "ocsentry", took, "ns")
    yield Figure(name, size, "wolfSentry", best_of(20, lambda: library.ask_each(few, now=1.0), len(few)), "ns")
    took = best_of(3, lambda: [table.dispatch(one, now=1.0) for one in traffic], ASKED)
    yield Figure(name, size, "RouteTable", took, "ns")


def write_document(prefixes: Prefixes) -> dict[str, Any]:
    routes = [
        {
            "direction-in": True,
            "penalty-boxed": True,
            "family": "inet",
            "remote": {"address": str(ip_address(key)), "prefix-bits": length},
        }
        for key, length in prefixes.packed()
    ]
    return {"wolfsentry-config-version": 1, "default-policies": {"default-policy": "accept"}, "routes": routes}


def widen(prefixes: Prefixes) -> Prefixes:
    """Shortens prefixes to whole octets: the released library compares other lengths wrongly."""
    rows = {(network >> 128 - at << 128 - at, at) for network, length in prefixes.rows for at in (length // 8 * 8,)}
    return Prefixes(prefixes.family, sorted(rows))


def draw_hits(prefixes: Prefixes) -> list[int]:
    chance = random.Random(3)
    rows = [chance.choice(prefixes.rows) for _ in range(ASKED)]
    return [(network | chance.getrandbits(128 - length)) & 0xFFFF_FFFF for network, length in rows]


def draw_misses(prefixes: Prefixes) -> list[int]:
    chance = random.Random(4)
    networks = {length: set[int]() for _, length in prefixes.rows}
    for network, length in prefixes.rows:
        networks[length].add(network >> (128 - length))
    found: list[int] = []
    while len(found) < ASKED:
        address = chance.getrandbits(32)
        if not any((V4_MAPPED | address) >> (128 - length) in known for length, known in networks.items()):
            found.append(address)
    return found
