# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nodes have answered to changes of the policy, for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from admin_api.fleet.policy.rules import read_problems
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from admin_api.store import Store

ANSWERS = (
    " FROM fleet.policy_acks a JOIN fleet.policy_versions v ON v.version = a.version"
    " JOIN fleet.nodes n ON n.id = a.node WHERE "
)
OF_REVISIONS = text(
    f"SELECT v.revision, n.name, a.ok, a.error{ANSWERS}v.revision = ANY(:numbers) ORDER BY v.revision, n.name"
)
LATEST = text(
    "SELECT v.version, CASE WHEN c.proposal IS NULL THEN v.state ELSE 'canary' END AS state, v.revision, v.proposed_at,"
    " CASE WHEN c.proposal IS NULL THEN v.reason ELSE '' END AS reason, n.name FROM fleet.policy_versions v"
    " LEFT JOIN fleet.canaries c ON c.proposal = v.version"
    " LEFT JOIN fleet.nodes n ON n.id = v.proposed_by ORDER BY v.version DESC LIMIT 1"
)
OF_PROPOSAL = text(f"SELECT n.name, a.ok, a.error{ANSWERS}a.version = :version ORDER BY n.name")


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """One node's word on a change. ``problems``: why it could not be used there."""

    node: str
    ok: bool
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class Proposal:
    """``state``: ``proposed``, ``active``, ``canary``, or ``aborted`` for ``reason``.

    ``version``: of the policy, once active.
    """

    number: int
    node: str
    at: datetime
    state: str
    version: int | None
    reason: str
    answers: Sequence[PolicyAnswer]


async def answers_of(store: Store, numbers: Sequence[int]) -> dict[int, list[PolicyAnswer]]:
    """Returns the answers to these versions of the policy. One without: it was made on one node, from its own files."""
    async with store.connected() as connection:
        rows = (await connection.execute(OF_REVISIONS, {"numbers": list(numbers)})).all()
    found: dict[int, list[PolicyAnswer]] = {}
    for number, *answer in rows:
        found.setdefault(number, []).append(_answer(*answer))
    return found


async def latest_proposal(store: Store) -> Proposal | None:
    """Returns the newest change that was proposed, whatever became of it."""
    async with store.connected() as connection:
        row = (await connection.execute(LATEST)).one_or_none()
        if row is None:
            return None
        answers = (await connection.execute(OF_PROPOSAL, {"version": row.version})).all()
    return Proposal(
        number=row.version,
        node=row.name or "",
        at=row.proposed_at,
        state=row.state,
        version=row.revision,
        reason=row.reason,
        answers=[_answer(*answer) for answer in answers],
    )


def _answer(name: str, ok: bool, error: str) -> PolicyAnswer:
    problems: list[Any] = [] if ok else read_problems(name, error)
    return PolicyAnswer(name, ok, [str(problem) for problem in problems])
