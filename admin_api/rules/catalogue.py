# SPDX-License-Identifier: GPL-3.0-or-later
"""All rules in order of their ids, those of the files (as compiled) between those of the store."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from admin_api.rulebook import RuleView, rules_of_files, view_compiled, view_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin_api.rulebook import CompiledRule
    from admin_api.store import Store
    from sentry_engine import Policy


class Catalogue:
    """The order of a policy's rules is worked out once: a file may hold a million."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._policy: Policy | None = None
        self._ids: list[str] = []
        self._rules: list[CompiledRule] = []

    async def page(self, policy: Policy, *, after: str | None, limit: int) -> Sequence[RuleView]:
        self._index(policy)
        begin = 0 if after is None else bisect_right(self._ids, after)
        compiled = [view_compiled(rule) for rule in self._rules[begin : begin + limit]]
        async with self._store.read() as unit:
            rows = await unit.rules.everything()
        stored = [view_row(row) for row in rows if after is None or row.id > after]
        return sorted([*compiled, *stored], key=lambda view: view.id)[:limit]

    async def get(self, policy: Policy, rule_id: str) -> RuleView | None:
        async with self._store.read() as unit:
            row = await unit.rules.get(rule_id)
        if row is not None:
            return view_row(row)
        return self.of_file(policy, rule_id)

    def of_file(self, policy: Policy, rule_id: str) -> RuleView | None:
        self._index(policy)
        place = bisect_left(self._ids, rule_id)
        found = place < len(self._ids) and self._ids[place] == rule_id
        return view_compiled(self._rules[place]) if found else None

    def _index(self, policy: Policy) -> None:
        if policy is self._policy:
            return
        rules = sorted(rules_of_files(policy), key=lambda rule: rule.id)
        self._policy, self._rules, self._ids = policy, rules, [rule.id for rule in rules]
