# SPDX-License-Identifier: GPL-3.0-or-later
"""How a change of the policy gets in force on several servers: proposed, agreed by each of them, sealed with its rows.

A server of its own asks none: ``Alone``. Several are in ``admin_api/fleet/policy/rollout.py``.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from admin_api.enforcement.policy.changes import Application, Canary, Plan, Prepared
    from admin_api.store import UnitOfWork


class CanaryRows(Protocol):
    """The canaries of a fleet, which all its nodes see. Failures of the database are raised."""

    async def check(self, names: Sequence[str]) -> None:
        """Raises ``ApiError`` unless each is the name of a live node."""

    async def begin(self, unit: UnitOfWork, proposal: int, plan: Plan, wanted: Application) -> Canary:
        """Write a canary. What is left of an earlier one is over."""

    async def end(self, unit: UnitOfWork, proposal: int, outcome: str, by: str, why: str) -> bool:
        """False: it has ended before."""

    async def note_in_force(self, proposal: int, cut: int) -> None:
        """This node has it in force, and disconnected ``cut`` sessions for it."""

    async def spread(self, proposal: int) -> Sequence[str]:
        """Wait until its nodes have it in force, for some seconds. Returns the names of those that have."""


class Rollout(Protocol):
    """Used in this order: ``turn`` around all of it, ``agree``, ``seal`` in the transaction, ``spread``."""

    @property
    def shared(self) -> bool:
        """There may be other servers."""

    @property
    def canaries(self) -> CanaryRows | None:
        """Policies that are tried on some servers first. ``None``: there is no other server."""

    def turn(self, *, wait: bool = True) -> AbstractAsyncContextManager[None]:
        """Has no other server change the policy meanwhile, with all earlier changes in force here.

        ``wait`` for another one that is at it. Raises ``ApiError`` if there is none to be had.
        """

    async def agree(self, plan: Plan) -> int:
        """Propose. Returns the proposal's number once every server has compiled it; 0: there is no other.

        Raises ``PolicyError`` with the words of a server that cannot, ``ApiError`` if one does not answer.
        """

    async def seal(self, unit: UnitOfWork, proposal: int, version: int | None) -> None:
        """Make it active, with what ``unit`` commits. Raises ``ApiError`` if a server no longer agrees."""

    def doubt(self, proposal: int, prepared: Prepared) -> None:
        """The answer to the commit was lost, and the earlier policy is back in force here.

        If the others have the new one after all, ``prepared`` is put in force as if one of them had made it.
        """

    async def spread(self, proposal: int) -> None:
        """Wait until the others have it in force, for some seconds. Raises nothing: it is active."""


class Alone:
    """A server without others."""

    shared = False
    canaries: CanaryRows | None = None

    @asynccontextmanager
    async def turn(self, *, wait: bool = True) -> AsyncIterator[None]:  # noqa: ARG002 - there is no other
        yield

    async def agree(self, plan: Plan) -> int:  # noqa: ARG002 - there is none to ask
        return 0

    async def seal(self, unit: UnitOfWork, proposal: int, version: int | None) -> None:
        """Nothing: the rows are enough."""

    def doubt(self, proposal: int, prepared: Prepared) -> None:
        """Nothing: the next start takes what the rows say."""

    async def spread(self, proposal: int) -> None:
        """Nothing: it is in force."""
