# SPDX-License-Identifier: GPL-3.0-or-later
"""Problems of a policy, with the place of each."""

from __future__ import annotations

from collections.abc import Iterable

from sentry_engine.records import dataclass

MAX_PROBLEMS = 100  # reported per load


@dataclass(frozen=True, slots=True)
class Problem:
    """``pointer`` is a JSON pointer (RFC 6901) into ``file``, ``line N`` of a line file, or empty (the whole file)."""

    file: str
    pointer: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.file}{' ' + self.pointer if self.pointer else ''}"
        return f"{place}: {self.reason}"


class PolicyError(ValueError):
    """The policy is invalid and nothing of it is in force. ``problems`` holds at most ``MAX_PROBLEMS``."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)[:MAX_PROBLEMS]
        super().__init__("; ".join(map(str, self.problems)) or "the policy is invalid")
