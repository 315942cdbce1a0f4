# SPDX-License-Identifier: GPL-3.0-or-later
"""The cores of one engine: one core alone, or one behind the route tables of wolfSentry configurations.

A table that the next policy has too stays in force with its counters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sentry_engine.cores.factory import CoreName, MakeCore
from sentry_engine.cores.interface import BlockedNetwork, Core, PolicyCore
from sentry_engine.cores.plan import Plan, PlanError
from sentry_engine.errors import PolicyError
from sentry_engine.policy.policy import Policy
from sentry_engine.rules.model import RouteRules

if TYPE_CHECKING:
    from sentry_engine.wolfsentry.routed_core import RoutedCore, Routes

    Tables = dict[RouteRules, Routes]


class CoreStack:
    """Owns the cores. Not thread-safe: the engine's lock is held."""

    def __init__(
        self, core: CoreName | PolicyCore, make_core: MakeCore, blocks: Callable[[], Sequence[BlockedNetwork]]
    ) -> None:
        """``blocks`` lists those in force, for a core that is made later.

        Raises ``ImportError`` if ``core`` is ``wolfsentry`` and the binding is not built.
        """
        self._blocks = blocks
        self._on_library = core == "wolfsentry"
        self._library: Any = None
        if self._on_library:
            self._library = import_module("sentry_engine.wolfsentry.library")
        self.inner = make_core(core)
        self._make_core: Callable[[], PolicyCore] = lambda: make_core(core if isinstance(core, str) else "native")
        self._front: PolicyCore | None = None  # made for the first table
        self._tables: Tables = {}
        self._plan: Plan  # in force
        self._routed: RoutedCore | None = None
        self._gated = False
        self._gate: Any = None  # library.LibraryGate, once a gate serves libwolfsentry's tables

    def prepare(self, policy: Policy) -> tuple[Policy, Tables]:
        """Split a policy into rules and route tables. Raises ``PlanError`` for tables that cannot be in force."""
        wanted = policy.routes if self._on_library else policy.untranslated()
        if wanted and self._gated and not self._on_library:
            raise PlanError(refuse_gate(wanted))
        tables = {rules: self._tables.get(rules) or self._make_table(rules) for rules in wanted}
        files = {rules.origin.file for rules in wanted if not rules.obstacles}
        if not files:
            return policy, tables
        rest = tuple(rule for rule in policy.prefix_rules if rule.origin.file not in files)
        limits = tuple(rule for rule in policy.limit_rules if rule.origin.file not in files)
        return replace(policy, prefix_rules=rest, limit_rules=limits), tables

    def put_blocks(self, blocks: Sequence[BlockedNetwork]) -> None:
        """Raises ``ValueError`` if there is no room for them all; then nothing changes."""
        self.inner.put_blocks(blocks)
        if self._front is not None:
            self._front.put_blocks(blocks)

    def remove_blocks(self, rule_ids: Sequence[str]) -> None:
        self.inner.remove_blocks(rule_ids)
        if self._front is not None:
            self._front.remove_blocks(rule_ids)

    def publish(self, plan: Plan, tables: Tables) -> Core:
        """Put both in force. Returns the core that decides by them. Raises ``PlanError``; then nothing changes."""
        self.inner.publish(plan)
        self._plan = plan
        if not tables and self._gate is None:
            self._tables, self._routed = {}, None
            return self.inner
        front = self._open_front()
        if self._routed is None or tables != self._tables:
            self._routed = _load().RoutedCore(front, self.inner, tuple(tables.values()))
        self._routed.publish_front(plan)
        if self._gate is not None:
            self._gate.put(list(tables.values()))
        self._tables = tables
        return self._routed

    def close(self) -> None:
        if self._gate is not None:
            self._gate.close()
        self.inner.close()
        if self._front is not None:
            self._front.close()

    def gate_address(self) -> int:
        """Address of the ``struct se_gate``. Raises ``RuntimeError`` if no gate can decide as the engine does."""
        address: int | None = getattr(self.inner, "gate_address", None)
        if address is None:
            raise RuntimeError("the reference core has no gate: serving needs core='native'")
        if not self._on_library and self._tables:
            raise RuntimeError(refuse_gate(tuple(self._tables)))
        self._gated = True
        return self._open_library_gate(address) if self._on_library else address

    def _open_library_gate(self, inner: int) -> int:
        """Put libwolfsentry's tables between the gates of the two cores, from now on for every policy."""
        if self._gate is None:
            made = self._front is None
            front: Any = self._open_front()
            if made:
                front.publish(_load().strip(self._plan))
            self._gate = self._library.LibraryGate(front.gate_address, inner)
            self._gate.put(list(self._tables.values()))
        address: int = self._gate.address
        return address

    def _open_front(self) -> PolicyCore:
        if self._front is None:
            self._front = self._make_core()
            self._front.put_blocks(self._blocks())
        return self._front

    def _make_table(self, rules: RouteRules) -> Routes:
        from sentry_engine.wolfsentry import RouteTable, read_config  # noqa: PLC0415 - only with such tables
        from sentry_engine.wolfsentry.writer import find_unbounded  # noqa: PLC0415

        file = rules.origin.file
        config = read_config(json.loads(rules.document), file=file)
        if self._on_library and (unbounded := list(find_unbounded(config, file))):
            raise PlanError("; ".join(map(str, unbounded)))
        try:
            made: Routes = (self._library.Library if self._on_library else RouteTable)(config, file=file)
        except PolicyError as error:
            raise PlanError(str(error)) from None
        return made


def _load() -> Any:  # noqa: ANN401 - the module of a core with route tables, which few policies have
    return import_module("sentry_engine.wolfsentry.routed_core")


def refuse_gate(wanted: tuple[RouteRules, ...]) -> str:
    return "; ".join(str(problem) for rules in wanted for problem in rules.obstacles)
