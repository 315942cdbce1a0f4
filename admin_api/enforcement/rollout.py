# SPDX-License-Identifier: GPL-3.0-or-later
"""How a change of the policy gets in force on several servers: proposed, agreed by each of them, sealed with its rows.

A server of its own asks none: ``Alone``. Several are in ``admin_api/fleet/policy/rollout.py``.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from admin_api.enforcement.canary import CanaryRows
    from admin_api.enforcement.following import Prepared
    from admin_api.store import UnitOfWork


class PlanKind(StrEnum):
    """What another server has to do for a change."""

    RULES = "rules"  # compile the changed rules with the rule files that it has in force
    FILES = "files"  # read the rule files on its disk
    VERSION = "version"  # return to the rule files of an earlier version


@dataclass(frozen=True, slots=True)
class Plan:
    """A change of the policy. ``rules``: those of the API that change, by id; ``None``: removed."""

    kind: PlanKind
    by: str
    rules: Mapping[str, dict[str, Any] | None] = field(default_factory=dict)
    version: int = 0  # to return to
    trial: bool = False  # on some servers first
    confirms: int = 0  # the number of the trial that this puts in force everywhere

    def as_document(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "by": self.by,
            "rules": dict(self.rules),
            "version": self.version,
            "trial": self.trial,
            "confirms": self.confirms,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Raises ``ValueError`` or ``KeyError`` for a plan of a release that knows more."""
        kind = PlanKind(document["kind"])
        trial, confirms = bool(document.get("trial", False)), int(document.get("confirms", 0))
        return cls(kind, str(document["by"]), dict(document["rules"]), int(document["version"]), trial, confirms)


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
