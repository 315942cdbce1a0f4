# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the engine's tests: both cores by name, and short notations for plans."""

from __future__ import annotations

import importlib
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sentry_engine import Engine, Policy
from sentry_engine.addresses import pack_address, pack_network
from sentry_engine.cores.interface import Core, Request
from sentry_engine.cores.plan import Entry, Limit, Plan, PrefixTable, Tier
from sentry_engine.cores.reference.core import ReferenceCore
from sentry_engine.verdict import Action, Event, Reason


def make_core(name: str) -> Core:
    if name == "reference":
        return ReferenceCore()
    return importlib.import_module("sentry_engine.cores.native.core").NativeCore()


@pytest.fixture(params=["reference", "native"])
def core_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def core(core_name: str) -> Iterator[Core]:
    made = make_core(core_name)
    yield made
    made.close()


@pytest.fixture
def both_cores() -> Iterator[Callable[[], tuple[Core, Core]]]:
    made: list[Core] = []

    def make() -> tuple[Core, Core]:
        pair = (make_core("reference"), make_core("native"))
        made.extend(pair)
        return pair

    yield make
    for core in made:
        core.close()


def build_table(rows: list[tuple[str, int]]) -> PrefixTable:
    packed = [pack_network(text) for text, _ in rows]
    networks, lengths = b"".join(p for p, _ in packed), bytes(n for _, n in packed)
    return PrefixTable(networks, lengths, array("I", [value for _, value in rows]))


def build_plan(
    *,
    tables: dict[Tier, list[tuple[str, Entry]]] | None = None,
    limits: dict[str, list[Limit]] | None = None,
    version: int = 1,
    **settings: Any,
) -> Plan:
    """A plan of entries by tier and limits by prefix. Rule ``n`` below 16 has the id ``rule-n``."""
    entries: list[Entry] = []
    columns: dict[Tier, list[tuple[str, int]]] = {tier: [] for tier in Tier}
    for tier, rows in (tables or {}).items():
        for text, entry in rows:
            columns[tier].append((text, len(entries)))
            entries.append(entry)
    flat: list[Limit] = []
    sets: list[tuple[int, ...]] = []
    for text, members in (limits or {}).items():
        sets.append(tuple(range(len(flat), len(flat) + len(members))))
        flat += members
        columns[Tier.LIMITS].append((text, len(sets) - 1))
    return Plan(
        version=version,
        tables=tuple(build_table(columns[tier]) for tier in Tier),
        entries=tuple(entries),
        rule_ids=tuple(f"rule-{n}" for n in range(16)),
        limits=tuple(flat),
        limit_sets=tuple(sets),
        **settings,
    )


class Words:
    """Short notations for entries, limits and requests."""

    plan = staticmethod(build_plan)
    accept = staticmethod(lambda rule=0, **more: Entry(Action.ACCEPT, Reason.RULE, rule, **more))
    reject = staticmethod(lambda rule=1, reason=Reason.RULE, **more: Entry(Action.REJECT, reason, rule, **more))
    inform = staticmethod(lambda rule=2, reason=Reason.COUNTRY: Entry(None, reason, rule))

    @staticmethod
    def limit(
        max_events: int = 3, window: float = 10.0, penalty: float = 0.0, *, event: int = Event.CONNECT, **more: Any
    ) -> Limit:
        return Limit(event, more.pop("rule", 5), max_events, window, penalty, **more)

    @staticmethod
    def ask(address: str, now: float = 0.0, event: int = Event.CONNECT, **more: Any) -> Request:
        return Request(pack_address(address), event, now, **more)


@pytest.fixture
def words() -> type[Words]:
    return Words


@pytest.fixture
def make_engine(core_name: str) -> Iterator[Callable[..., Engine]]:
    """Makes engines from the rules of a document, with a clock fixed at 0. Closes them at the end."""
    made: list[Engine] = []

    def make(
        rules: list[dict[str, Any]] | None = None, *, document: dict[str, Any] | None = None, **options: Any
    ) -> Engine:
        body = {"version": "1.6.3", "rules": rules or [], **(document or {})}
        options.setdefault("clock", lambda: 0.0)
        options.setdefault("wall_clock", lambda: 1_000_000_000.0)
        made.append(Engine(Policy.from_document({"wolfsentry": body}), core=core_name, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.close()
