# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a test waits, and what elapsed time it holds against the server.

A test waits for effects, not for time, and for as long as any test of the project does (lab/patience.py).
Elapsed time that is promised to users is another matter: it says something about the server only where the server has
a processor. So the promise itself is checked with OCSENTRY_STRICT_TIMES on a machine that does nothing else, before a
release. Beside other work twenty times as much passes: what tells a late server from one that never acts.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeVar

from lab.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

STRICT = bool(os.environ.get("OCSENTRY_STRICT_TIMES"))
_CROWDED = 20.0
_LOOK_EVERY = 0.02  # seconds

_Seen = TypeVar("_Seen")


def bound(seconds: float) -> float:
    """What a promise of so many seconds is held to here."""
    return seconds if STRICT else seconds * _CROWDED


def eventually(
    look: Callable[[], _Seen], good: Callable[[_Seen], object], what: str, timeout: float = PATIENCE
) -> _Seen:
    """What ``look`` finds once it is good; an error with what it found last if it never is."""
    deadline = time.monotonic() + timeout
    while not good(seen := look()):
        assert time.monotonic() < deadline, f"not {what} after {timeout} s: {seen}"
        time.sleep(_LOOK_EVERY)
    return seen
