# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a policy, said so that its author finds the place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MAX_PROBLEMS = 100  # of one load; a file of a million bad rows needs no million sentences


@dataclass(frozen=True, slots=True)
class Problem:
    """``pointer`` is a JSON pointer (RFC 6901) into ``file``, ``line N`` in a file of lines, or empty for the whole
    file.
    """

    file: str
    pointer: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.file}{' ' + self.pointer if self.pointer else ''}"
        return f"{place}: {self.reason}"


class PolicyError(ValueError):
    """A policy that cannot be used. Nothing of it is in force; ``problems`` holds every one found, up to a hundred."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)[:MAX_PROBLEMS]
        super().__init__("; ".join(map(str, self.problems)) or "the policy is invalid")
