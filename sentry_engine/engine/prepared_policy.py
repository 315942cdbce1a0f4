# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy with its plan, made while the engine goes on: putting it in force takes a small part of that time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine.gc_pause import collector_paused
from sentry_engine.policy.compiler import CompileSettings, compile_policy
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentry_engine.cores.plan import Plan
    from sentry_engine.engine.core_stack import Tables
    from sentry_engine.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class PreparedPolicy:
    """Made by ``Engine.prepare`` for ``Engine.swap``, which makes it again if another policy came into force meanwhile.

    A schedule that changes between the two is applied by the next ``Engine.refresh``.
    """

    policy: Policy
    follows: int  # the version of the policy whose numbers of events, route tables and exempt networks it has
    plan: Plan
    tables: Tables
    texts: Mapping[str, str]  # by rule id
    clock_offset: float  # Unix time minus the engine's clock, in seconds
    next_change: float | None  # Unix time of the next change by a schedule


def prepare_policy(
    policy: Policy, ruled: Policy, tables: Tables, settings: CompileSettings, follows: int
) -> PreparedPolicy:
    """``ruled`` is the part of ``policy`` that is not in ``tables``. Raises ``PlanError``."""
    with collector_paused():
        plan = compile_policy(ruled, settings, version=follows + 1)
        next_change = policy.next_change(settings.wall_now)
        return PreparedPolicy(policy, follows, plan, tables, policy.texts(), settings.clock_offset, next_change)
