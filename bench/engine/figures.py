# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine alone: time of a decision by number of prefixes, with pytricia and py-radix on the same prefixes."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from random import Random
from socket import AF_INET, AF_INET6, inet_ntop

from pytricia import PyTricia

from bench.engine.policies import Prefixes, build_flattened, build_plan, draw_addresses, draw_prefixes
from ocsentry.privileges.packet_filter.kernel_filter import KernelFilter
from sentry_engine import Engine, Policy, make_block
from sentry_engine.addresses import pack_address, render_address, render_network
from sentry_engine.cores.interface import Request
from sentry_engine.cores.native.core import NativeCore
from sentry_engine.cores.reference.core import ReferenceCore
from sentry_engine.prefixes import Prefixes as Packed
from sentry_engine.verdict import Event

ROOT = Path(__file__).resolve().parents[2]
ASKED = 4096  # addresses per measurement; their ranges stay in the cache, as those of a busy server's clients
SIZES = (1, 1_000, 10_000, 100_000, 1_000_000)
RANDOM = 1 << 17  # addresses per measurement whose ranges exceed the caches
OTHER_RULES = 1 << 15  # several times as many as there are cached verdicts
FEW = 256  # addresses that Python asks one by one: a round must end within a scheduler slice
FLOOD = 10_000_000  # sources in the test of the limiter


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. ``who`` is the implementation, or the condition, that it belongs to."""

    name: str
    prefixes: int
    who: str
    value: float
    unit: str


def best_of(rounds: int, work: Callable[[], object], items: int) -> float:
    """Returns nanoseconds per item of the fastest round, which other load disturbed least."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter_ns()
        work()
        best = min(best, time.perf_counter_ns() - began)
    return best / items


def measure_decisions(family: int, sizes: tuple[int, ...]) -> Iterator[Figure]:
    for size in sizes:
        prefixes = draw_prefixes(family, size)
        core = NativeCore()
        core.publish(build_plan(prefixes))
        yield from ask_core(core, prefixes)
        yield Figure(f"IPv{family} bytes a prefix", size, "ocsentry", core.policy_bytes / size, "B")
        core.close()
        yield from ask_peers(prefixes)


def ask_core(core: NativeCore, prefixes: Prefixes) -> Iterator[Figure]:
    family, size, now = prefixes.family, len(prefixes.rows), iter(range(1, 1_000_000))
    addresses = draw_addresses(prefixes, ASKED)
    hot, few = b"".join(addresses), addresses[:FEW]
    random = b"".join(draw_addresses(prefixes, RANDOM, seed=5))
    texts = [render_address(address) for address in few]

    def ask(event: Event) -> Callable[[], object]:
        return lambda: core.answer_words(hot, event, 100.0 * next(now))

    calls: dict[str, tuple[int, Callable[[], object], int]] = {
        "decision in C": (100, ask(Event.SESSION_START), ASKED),
        "decision in C, counted against a limit": (100, ask(Event.CONNECT), ASKED),
        "decision in C, sources at random": (8, lambda: core.answer_words(random, Event.SESSION_START, 1.0), RANDOM),
        "from Python, batch of 256 texts": (200, lambda: core.answer_many(texts, Event.SESSION_START, 1.0), FEW),
        "from Python, one text": (60, lambda: [core.answer(text, Event.SESSION_START, 1.0) for text in texts], FEW),
    }
    if size > OTHER_RULES:
        chosen = Random(7).sample(prefixes.rows, OTHER_RULES)
        others = [render_address(network.to_bytes(16)) for network, _ in chosen]
        parts = [tuple(others[at : at + FEW]) for at in range(0, OTHER_RULES, FEW)]
        ask_each = lambda: [core.answer(text, Event.SESSION_START, 1.0) for text in others]  # noqa: E731
        ask_parts = lambda: [core.answer_many(part, Event.SESSION_START, 1.0) for part in parts]  # noqa: E731
        calls["from Python, one text, each of another rule"] = (8, ask_each, OTHER_RULES)
        calls["from Python, batch of 256 texts, each of another rule"] = (8, ask_parts, OTHER_RULES)
    for name, (rounds, call, items) in calls.items():
        yield Figure(f"IPv{family} {name}", size, "ocsentry", best_of(rounds, call, items), "ns")


def ask_peers(prefixes: Prefixes) -> Iterator[Figure]:
    """Other prefix tables: they return the matching prefix, without penalties, limits or reasons."""
    family, size = prefixes.family, len(prefixes.rows)
    width, kind = (32, AF_INET) if family == 4 else (128, AF_INET6)
    keys = [address[12:] if family == 4 else address for address in draw_addresses(prefixes, ASKED)[:FEW]]
    trie = PyTricia(width, kind)
    began = time.perf_counter()
    for at, key in enumerate(prefixes.packed()):
        trie[key] = at
    yield Figure(f"IPv{family} table built", size, "pytricia", time.perf_counter() - began, "s")
    texts = [inet_ntop(kind, key) for key in keys]
    yield Figure(
        f"IPv{family} from Python, one text",
        size,
        "pytricia",
        best_of(60, lambda: [trie.get(text) for text in texts], FEW),
        "ns",
    )
    try:
        import radix  # noqa: PLC0415  # optional: installed by make bench
    except ImportError:
        return
    tree = radix.Radix()
    began = time.perf_counter()
    for key, length in prefixes.packed():
        tree.add(packed=key, masklen=length)
    yield Figure(f"IPv{family} table built", size, "py-radix", time.perf_counter() - began, "s")
    yield Figure(
        f"IPv{family} from Python, one text",
        size,
        "py-radix",
        best_of(60, lambda: [tree.search_best(text) for text in texts], FEW),
        "ns",
    )


def measure_builds(size: int, folder: Path) -> Iterator[Figure]:
    """From a plan, and from a prepared file, to a policy in force."""
    four, six = draw_prefixes(4, size), draw_prefixes(6, size)
    plans = {
        "IPv4, a rule for each": (build_plan(four), size),
        "IPv6, a rule for each": (build_plan(six), size),
        "both families, in five tiers each": (build_flattened(four, six), 10 * size),
    }
    for name, (plan, rows) in plans.items():
        core = NativeCore()
        wall, own = time.perf_counter(), time.thread_time()
        core.publish(plan)
        own, wall = time.thread_time() - own, time.perf_counter() - wall
        yield Figure(f"built and swapped: {name}", rows, "ocsentry", wall, "s")
        yield Figure(f"built and swapped, processor: {name}", rows, "ocsentry", own, "s")
        path = folder / "policy.prepared"
        core.save(path)
        own, took = time.thread_time(), best_of(5, lambda core=core, path=path: core.load(path), 1)
        own = (time.thread_time() - own) / 5
        yield Figure(f"loaded from a prepared file: {name}", rows, "ocsentry", took / 1e6, "ms")
        yield Figure(f"loaded from a prepared file, processor: {name}", rows, "ocsentry", own * 1e3, "ms")
        core.close()
    yield from measure_block()


def measure_block() -> Iterator[Figure]:
    """One more block in an engine, and its removal, beside many. Thread time."""
    for number in (0, 99_000, 999_000):
        with Engine(Policy.from_document({"wolfsentry": {"version": "1.6.3"}})) as engine:
            packed = (Packed(pack_address(IPv4Address(0x0A000000 + at)), b"\x80") for at in range(number))
            engine.block_many(make_block(f"block:{at}", one, "", None) for at, one in enumerate(packed))

            def change(engine: Engine = engine) -> None:
                engine.block("198.51.100.7", rule_id="block:more")
                engine.unblock("block:more")

            took = best_of(5, lambda: [change() for _ in range(100)], 200)
            yield Figure("one more block, or one less", number, "ocsentry", took / 1e3, "us")
            if number < 100_000:
                yield Figure("the same, followed by the kernel filter", number, "ocsentry", follow(engine), "us")


class _NoHelper:
    """A helper that does all that it is asked at once."""

    def open_filter(self) -> None: ...
    def change_filter(self, remove: Sequence[str], add: Sequence[tuple[str, int]]) -> None: ...

    def read_filter(self) -> dict[str, int]:
        return {"ipv4": 0, "ipv6": 0}


def follow(engine: Engine) -> float:
    """Microseconds for a change of a block until the kernel's sets would be told of it."""
    sets = KernelFilter(engine, _NoHelper())

    def change() -> None:
        engine.block("198.51.100.7", rule_id="block:more")
        sets.remove_lifted()
        sets.add_some()
        engine.unblock("block:more")
        sets.remove_lifted()

    sets.remove_lifted()
    while sets.add_some():
        pass
    return best_of(5, lambda: [change() for _ in range(20)], 40) / 1e3


def measure_limiter() -> Iterator[Figure]:
    """The cost of ten million spoofed sources, and their effect on a known source."""
    core = NativeCore()
    prefixes = draw_prefixes(4, 1)
    core.publish(build_plan(prefixes))
    known = bytes(10) + b"\xff\xff\xc6\x33\x64\x07"
    core.answer(known, Event.CONNECT, 1.0)
    took = 0
    for turn in range(FLOOD // ASKED):
        crowd = b"".join(bytes(10) + b"\xff\xff" + (turn * ASKED + at).to_bytes(4) for at in range(ASKED))
        began = time.thread_time_ns()  # thread time: wall time would include other load
        core.answer_words(crowd, Event.CONNECT, 1.0, verified=False)
        took += time.thread_time_ns() - began
    yield Figure("ten million spoofed sources, each", FLOOD, "ocsentry", took / FLOOD, "ns")
    counters = core.counters()
    yield Figure("state of sources after them", FLOOD, "ocsentry", core.state_bytes / 1e6, "MB")
    yield Figure("known sources evicted by them", FLOOD, "ocsentry", counters.evicted + 1 - counters.sources, "")
    core.close()


def measure_pause(folder: Path, size: int, seconds: float) -> Iterator[Figure]:
    """Answers later than 10 us, with and without swaps (pause.c)."""
    program = folder / "pause"
    native = ROOT / "sentry_engine" / "native"
    core = (path for path in sorted(native.rglob("*.c")) if path.parent.name != "binding")  # needs Python
    sources = [ROOT / "bench/engine/pause.c", *core]
    include = f"-I{native}"
    subprocess.run(["cc", "-std=gnu11", "-O3", include, *sources, "-o", program, "-lm", "-lpthread"], check=True)
    ran = subprocess.run([program, str(size), str(seconds)], check=True, capture_output=True, text=True)
    found = json.loads(ran.stdout)
    for which in ("without", "with"):
        one, who = found[which], f"{which} swaps"
        share = 1e6 / one["answers"]
        yield Figure("answers over 10 us of wall time, per million", size, who, one["over_10us_wall"] * share, "")
        yield Figure("answers over 10 us of processor time, per million", size, who, one["over_10us_cpu"] * share, "")
        yield Figure("longest answer, wall time", size, who, one["longest_wall_ns"] / 1e3, "us")
        yield Figure("longest answer, processor time", size, who, one["longest_cpu_ns"] / 1e3, "us")
        yield Figure("times the reader gave up the processor", size, who, one["voluntary_switches"], "")
        yield Figure("times the processor was taken from it", size, who, one["involuntary_switches"], "")
    yield Figure("swaps meanwhile", size, "with swaps", found["swaps"], "")


def measure_calls() -> Iterator[Figure]:
    """The public ``Engine``, including parsing, the clock and the ``Verdict``."""
    size = 1_000
    rows = draw_prefixes(4, size).rows
    rule = {"id": "drawn", "type": "blacklist", "remote_addr": [render_network(n.to_bytes(16), at) for n, at in rows]}
    engine = Engine(Policy.from_document({"wolfsentry": {"version": "1", "rules": [rule]}}))
    texts = [render_address(address) for address in draw_addresses(draw_prefixes(4, size), FEW)]
    unseen = iter([[f"100.64.{turn}.{last}" for last in range(FEW)] for turn in range(FEW)])
    packed, event, decide = b"".join(map(pack_address, texts)), Event.SESSION_START, engine.decide
    six = [render_address(address) for address in draw_addresses(draw_prefixes(6, size), FEW)]
    objects, objects6 = list(map(ip_address, texts)), list(map(ip_address, six))
    calls: dict[str, Callable[[], object]] = {
        "Engine.decide of a text": lambda: [decide(event, text) for text in texts],
        "Engine.decide of a text, time given": lambda: [decide(event, text, now=1.0) for text in texts],
        "Engine.decide of a text never seen, time given": lambda: [decide(event, t, now=1.0) for t in next(unseen)],
        "Engine.decide of an IPv6 text": lambda: [decide(event, text) for text in six],
        "Engine.decide of an IPv4Address": lambda: [decide(event, address) for address in objects],
        "Engine.decide of an IPv6Address": lambda: [decide(event, address) for address in objects6],
        "Engine.decide_many, 256 IPv6 texts, an address": lambda: engine.decide_many(event, six, now=1.0),
        "Engine.decide_many, 256 texts, an address": lambda: engine.decide_many(event, texts, now=1.0),
        "Engine.decide_packed, 256 addresses, an address": lambda: engine.decide_packed(event, packed, now=1.0),
    }
    for name, call in calls.items():
        yield Figure(name, size, "ocsentry", best_of(200, call, FEW), "ns")
    engine.close()


def measure_reference() -> Iterator[Figure]:
    """The reference core, for comparison."""
    prefixes = draw_prefixes(4, 1_000)
    reference = ReferenceCore()
    reference.publish(build_plan(prefixes))
    requests = [Request(address, Event.SESSION_START, 1.0) for address in draw_addresses(prefixes, 512)]
    took = best_of(3, lambda: [reference.decide(request) for request in requests], 512)
    yield Figure("IPv4 from Python, one packed address", 1_000, "reference", took, "ns")
