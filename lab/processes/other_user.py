# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets a program that becomes another user read the interpreter and the packages, wherever a checkout lies.

The checkout or the interpreter may lie below a folder that only root may enter. The program then gets its own mount
namespace. There a folder that all may enter covers the closed one, and the files are bound into it.
"""

from __future__ import annotations

import stat
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def readable_by_all(*more: Path) -> list[str]:
    """A command prefix: the program behind it finds the interpreter, this checkout and ``more`` readable by all."""
    wanted = [Path(sys.base_prefix), Path(sys.prefix), ROOT, *more]
    closed = {_closed_ancestor(path): path for path in wanted}
    closed.pop(None, None)
    if not closed:
        return []
    steps = ["set -e", "keep=$(mktemp -d)", "mount -t tmpfs -o mode=755 none $keep"]
    for number, folder in enumerate(map(str, closed)):
        inside = [path for path in map(str, wanted) if Path(path).is_relative_to(folder)]
        for index, path in enumerate(inside):
            steps += [f"mkdir -p $keep/{number}-{index}", f"mount --rbind '{path}' $keep/{number}-{index}"]
        steps += [f"mount -t tmpfs -o mode=755 none '{folder}'"]
        for index, path in enumerate(inside):
            steps += [f"mkdir -p '{path}'", f"mount --rbind $keep/{number}-{index} '{path}'"]
    steps.append('exec "$@"')
    return ["unshare", "--mount", "sh", "-c", "\n".join(steps), "sh"]


def _closed_ancestor(path: Path) -> Path | None:
    """The outermost folder above ``path`` that others may not enter."""
    ancestors = [*reversed(path.resolve().parents)]
    return next((folder for folder in ancestors if not folder.stat().st_mode & stat.S_IXOTH), None)
