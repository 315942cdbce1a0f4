# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials of policies: what a policy would do, on a temporary engine, without putting it in force.

Callers with a read-only token may ask for trials. They run on ``TrialWorker``, never under the lock of changes.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from admin_api.progress import advance
from sentry_engine import Action, Engine, Finding, Policy, find_policy_issues, run_rule_tests, simulate
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from admin_api.workers import TrialWorker
    from sentry_engine import PrefixRule
    from sentry_engine.engine.decision_log import Decision
    from sentry_engine.engine.replay import Change
    from vpn_frontend.ports import SessionView
    from vpn_frontend.settings import Address, Network


@dataclass(frozen=True, slots=True)
class Trial:
    """What a policy would do: the live sessions that it would disconnect, its warnings and its failed tests."""

    policy: Policy
    cut: Sequence[SessionView]
    findings: tuple[Finding, ...] = ()


class Trials:
    """``load`` compiles a policy, in the thread of the trial."""

    def __init__(
        self,
        engine: Engine,
        list_sessions: Callable[[], Sequence[SessionView]],
        make_engine: Callable[[Policy], Engine],
        never_block: Callable[[], Sequence[Network]],
        worker: TrialWorker,
    ) -> None:
        """``engine`` is the one in force; its blocks apply in trials too."""
        self._engine = engine
        self._list_sessions = list_sessions
        self._make_engine = make_engine
        self._never_block = never_block
        self._worker = worker

    async def examine(self, load: Callable[[], Policy]) -> Trial:
        """Raises ``ApiError`` (429) if too many trials wait, ``PolicyError`` or ``PlanError``."""
        views = self._list_sessions()
        blocks = self._blocks_of(views)

        def work(is_late: Callable[[], bool]) -> Trial:
            policy = load()
            advance(1, 3)
            findings = (*find_policy_issues(policy), *run_rule_tests(policy, is_late=is_late))
            advance(2, 3)
            return Trial(policy, self._find_cut(policy, blocks, views), findings)

        return await self._worker.run(work)

    async def simulate(self, load: Callable[[], Policy], decisions: Sequence[Decision]) -> tuple[Policy, list[Change]]:
        """Returns the policy, and the ``decisions`` that it would change. Raises as ``examine``."""

        def work(_: Callable[[], bool]) -> tuple[Policy, list[Change]]:
            policy = load()
            advance(1, 2)
            return policy, simulate(policy, decisions, never_block=self._never_block())

        return await self._worker.run(work)

    def find_cut(self, policy: Policy) -> Sequence[SessionView]:
        """The live sessions that ``policy``, with the present blocks, would disconnect. Blocks its thread."""
        views = self._list_sessions()
        return self._find_cut(policy, self._blocks_of(views), views)

    def refuses(self, policy: Policy, address: Address) -> bool:
        """True if ``policy``, with the present blocks, would refuse ``address``. Blocks its thread."""
        with self._trial_engine(policy, self._engine.find_blocks([address])) as trial:
            return trial.explain(address).verdict.action is Action.REJECT

    def _blocks_of(self, views: Sequence[SessionView]) -> Sequence[PrefixRule]:
        """The blocks that can refuse one of them: of each address the most specific. The others decide nothing."""
        return self._engine.find_blocks(view.address for view in views)

    def _find_cut(
        self, policy: Policy, blocks: Sequence[PrefixRule], views: Sequence[SessionView]
    ) -> Sequence[SessionView]:
        if not views:
            return []
        with self._trial_engine(policy, blocks) as trial:
            verdicts = [trial.explain(view.address, user=view.user, groups=view.groups).verdict for view in views]
        return [view for view, verdict in zip(views, verdicts, strict=True) if verdict.action is Action.REJECT]

    @contextmanager
    def _trial_engine(self, policy: Policy, blocks: Sequence[PrefixRule]) -> Iterator[Engine]:
        """A temporary engine with ``policy`` and ``blocks``, without rate windows or penalties."""
        with self._make_engine(policy) as trial:
            trial.block_many(blocks)
            yield trial
