# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a test waits for an effect, and which elapsed time it asserts.

A test waits for effects and never for time alone, at most ``TIMEOUT`` each.
Elapsed time is asserted only where the project promises it to users. ``OCSENTRY_STRICT_TIMES`` asserts the promise
itself; run that before a release on a machine that does nothing else. Without it, 20 times as much passes. That still
tells a server that is late from one that never acts, on machines that run other work.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT = 240.0  # seconds; starting a Python program took 10 on a machine with five other test runs
STRICT = bool(os.environ.get("OCSENTRY_STRICT_TIMES"))
_RELAXED = 20.0
_POLL_INTERVAL = 0.02  # seconds

_Seen = TypeVar("_Seen")


def time_limit(seconds: float) -> float:
    """Returns the seconds to assert here for a promise of ``seconds``."""
    return seconds if STRICT else seconds * _RELAXED


def eventually(
    look: Callable[[], _Seen], good: Callable[[_Seen], object], what: str, timeout: float = TIMEOUT
) -> _Seen:
    """Calls ``look`` until ``good`` accepts its result, and returns that.

    Raises AssertionError with the last result after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while not good(seen := look()):
        assert time.monotonic() < deadline, f"not {what} after {timeout} s: {seen}"
        time.sleep(_POLL_INTERVAL)
    return seen
