# SPDX-License-Identifier: GPL-3.0-or-later
"""A pause of Python's garbage collector while a large policy is loaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Disable the cyclic collector, which would otherwise scan a million live rules again and again.

    Reference counting still frees memory that is not in cycles. Two overlapping pauses may end early: only time is
    lost.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
