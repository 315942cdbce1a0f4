# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check finds."""

from __future__ import annotations

from typing import Literal

from sentry_engine.records import dataclass


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check. ``fix`` says what to do; empty if nothing.

    ``command`` does it in a shell, as root. It is empty where the operator has to decide.
    """

    check: str
    level: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""
    command: str = ""
