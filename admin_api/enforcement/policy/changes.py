# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of the policy is made of: what is wanted, what other nodes are asked, what is compiled, what waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from admin_api.enforcement.policy.revisions import Documents
    from admin_api.enforcement.policy.rule_file_set import RuleFileSet
    from sentry_engine import Policy
    from vpn_frontend.settings import Address


@dataclass(frozen=True, slots=True)
class Application:
    """A policy to apply: ``rules`` for the API's rules (``None``: they stay), and the rule files on disk.

    ``version``: return to this version instead. ``expect`` gets the version in force, and raises if the caller does not
    know it. ``own``: addresses of the caller. ``canary``: names of the nodes that try it first.
    """

    by: str
    rules: Documents | None = None
    version: int | None = None
    reason: str = ""
    confirm_within: float | None = None
    dry_run: bool = False
    force: bool = False
    own: Sequence[Address] = ()
    expect: Callable[[int], None] = lambda _: None
    canary: Sequence[str] = ()


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


@dataclass(frozen=True, slots=True)
class NewPolicy:
    """A compiled policy with the files that it was compiled of."""

    policy: Policy
    files: RuleFileSet


@dataclass(frozen=True, slots=True)
class Prepared:
    """A compiled plan. It is of use as long as ``base``, the rule files in force, are what it was compiled beside."""

    plan: Plan
    new: NewPolicy
    base: RuleFileSet


@dataclass(frozen=True, slots=True)
class Canary:
    """``proposal`` is its number, ``here``: this node is one of ``nodes``. ``left``: seconds, when it was read."""

    proposal: int
    plan: Plan
    nodes: Sequence[str]
    by: str
    reason: str
    ends_at: datetime
    left: float
    here: bool


@dataclass(frozen=True, slots=True)
class Pending:
    """A policy that must be confirmed. ``before`` is what was in force at the version before it.

    ``before`` is ``None`` after a restart: then the store has it.
    Where a ``canary`` is not tried it is ``None`` too.
    """

    version: int
    confirm_by: datetime
    deadline: float  # monotonic
    by: str
    before: NewPolicy | None = None
    canary: Canary | None = None
