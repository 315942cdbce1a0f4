# SPDX-License-Identifier: GPL-3.0-or-later
"""ocserv's route-add-cmd and route-del-cmd: lines for a shell, here a program and its arguments.

What only a shell can make of a line is refused: it belongs into a script.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from vpn_frontend.sessions.records.hook_environment import PATH

if TYPE_CHECKING:
    from ocsentry.configuration.ocserv.rows import Read
    from ocsentry.configuration.ocserv.target import Target
    from vpn_frontend.ocserv.grammar import Entry

ROUTE_COMMAND = (
    "Run without a shell, killed after `vpn.hooks.timeout`; a line with signs for a shell is refused. Without it the "
    "server sets the routes of iroute itself."
)
FOR_A_SHELL = re.compile(r"[|&;<>()$`*?\[\]~#!]|^\w+=")


def read_command(hook: str) -> Read:
    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        entry = entries[-1]
        if (sign := FOR_A_SHELL.search(entry.value)) is not None:
            text = f"no shell runs it, so {sign[0]!r} cannot be meant: write the line to a script, and name that here"
            target.refuse(entry, text)
            return
        try:
            words = shlex.split(entry.value)
        except ValueError as error:
            target.refuse(entry, f"it cannot be split into words: {error}")
            return
        if not words:
            return
        program = _find(target, entry, words[0])
        if program is not None:
            target.set(f"vpn.hooks.{hook}", [program, *words[1:]], entry)

    return read


def _find(target: Target, entry: Entry, program: str) -> str | None:
    """The path of a program. A name alone is looked up as for hooks."""
    if "/" in program:
        return target.file(entry, program)
    found = shutil.which(program, path=PATH)
    if found is None:
        target.refuse(entry, f"there is no program {program!r} in {PATH}: write its path")
        return None
    return str(Path(found))
