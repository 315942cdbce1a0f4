# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress bars on standard error: on a terminal only, and gone when the work ends."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def progress_bar(
    text: str, total: int | None, *, in_bytes: bool, quiet: bool = False
) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told how much was done since the last call.

    ``total``: ``None`` if it is not known. ``quiet``: show nothing, for instance with ``--json``.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    amount = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(text, total=total)
        yield lambda done: shown.advance(task, done)
