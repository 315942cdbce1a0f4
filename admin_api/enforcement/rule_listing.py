# SPDX-License-Identifier: GPL-3.0-or-later
"""All rules in order of their ids, those of the files (as compiled) between those of the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from admin_api.enforcement.api_rules import RuleView, view_compiled, view_row
from admin_api.enforcement.rule_order import RuleOrder, find_rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin_api.store import Store
    from sentry_engine import Policy


class Catalogue:
    """The order of a policy's rules is worked out once, when somebody asks for a page of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: tuple[Policy, RuleOrder] | None = None

    async def page(self, policy: Policy, *, after: str | None, limit: int) -> Sequence[RuleView]:
        order = await self._order_of(policy)
        compiled = [view_compiled(rule) for rule in order.after(after, limit)]
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
        rule = find_rule(policy, rule_id)
        return None if rule is None else view_compiled(rule)

    async def _order_of(self, policy: Policy) -> RuleOrder:
        if self._known is None or self._known[0] is not policy:
            self._known = policy, await asyncio.to_thread(RuleOrder, policy)
        return self._known[1]
