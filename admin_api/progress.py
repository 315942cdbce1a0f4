# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress of the operation that the present task, or a thread that works for it, carries out.

Work that takes long tells its steps here, and need not know whether a request waits for it or an operation shows it.
Without an operation nothing happens.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol


class Progress(Protocol):
    """What ``long_operations.Operation`` offers here."""

    cancellable: bool

    def advance(self, done: int, total: int | None = None) -> None:
        """``done`` of ``total`` steps are made; ``None``: ``total`` is as before."""


_current: ContextVar[Progress | None] = ContextVar("ocsentry_operation", default=None)


def begin_progress(progress: Progress) -> None:
    """Make ``progress`` that of the present task, and of what it calls."""
    _current.set(progress)


def current_progress() -> Progress | None:
    return _current.get()


def advance(done: int, total: int) -> None:
    """Tell that ``done`` of ``total`` steps are made. May be called from a thread that has the task's context."""
    if (progress := _current.get()) is not None:
        progress.advance(done, total)


def pass_no_return() -> None:
    """Tell that the operation cannot be cancelled any more: from here on it is done, or nothing changed."""
    if (progress := _current.get()) is not None:
        progress.cancellable = False
