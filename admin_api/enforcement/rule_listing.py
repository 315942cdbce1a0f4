# SPDX-License-Identifier: GPL-3.0-or-later
"""All rules by id: the compiled rules of the files merged with the rules of the store."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from functools import partial
from typing import TYPE_CHECKING

from admin_api.enforcement.api_rules import ListedRule, view_file_rule, view_stored_rule
from admin_api.enforcement.rule_order import RuleOrder, find_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from admin_api.enforcement.api_rules import CompiledRule
    from admin_api.store import Store
    from sentry_engine import Policy


class RuleListing:
    """Sorts the rules of a policy once, at the first page that a caller asks for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: tuple[Policy, RuleOrder] | None = None

    async def list_rules(self, policy: Policy, *, after: str | None, limit: int) -> Sequence[ListedRule]:
        """Returns up to ``limit`` rules whose ids follow ``after``. Costs the same for a policy of any size."""
        order = await self._order_of(policy)
        compiled = [view_file_rule(rule, policy) for rule in order.after(after, limit)]
        rows = await self._store.rules()
        first = 0 if after is None else bisect_right(rows, after, key=lambda row: row.id)
        stored = [view_stored_rule(row) for row in rows[first : first + limit]]
        return sorted([*compiled, *stored], key=lambda view: view.id)[:limit]

    async def all_rules(self, policy: Policy, source: str | None) -> Iterator[tuple[str, Callable[[], ListedRule]]]:
        """Returns the id of each rule in no order, with what makes the view; ``source``: only those of it."""
        order = await self._order_of(policy)
        rows = await self._store.rules()

        def found() -> Iterator[tuple[str, Callable[[], ListedRule]]]:
            if source != "file":
                for row in rows:
                    yield row.id, partial(view_stored_rule, row)
            if source != "api":
                for rule_id, make in order.ids():
                    yield rule_id, partial(_make_view, make, policy)

        return found()

    async def find_rule(self, policy: Policy, rule_id: str) -> ListedRule | None:
        """Returns the rule with this id, of the store or of a file."""
        async with self._store.read() as unit:
            row = await unit.rules.get(rule_id)
        if row is not None:
            return view_stored_rule(row)
        return self.find_file_rule(policy, rule_id)

    def find_file_rule(self, policy: Policy, rule_id: str) -> ListedRule | None:
        """Returns the file rule with this id."""
        rule = find_rule(policy, rule_id)
        return None if rule is None else view_file_rule(rule, policy)

    async def _order_of(self, policy: Policy) -> RuleOrder:
        if self._known is None or self._known[0] is not policy:
            self._known = policy, await asyncio.to_thread(RuleOrder, policy)
        return self._known[1]


def _make_view(make: Callable[[], CompiledRule], policy: Policy) -> ListedRule:
    return view_file_rule(make(), policy)
