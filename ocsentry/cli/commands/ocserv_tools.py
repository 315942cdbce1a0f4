# SPDX-License-Identifier: GPL-3.0-or-later
"""ocserv's own tools as commands: ``occtl`` and ``ocpasswd``. Their options and exit codes are those of ocserv's.

Under one of these names, as a package installs it where ocserv is absent, the program is that tool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VERBATIM = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def run_ocpasswd(arguments: Sequence[str]) -> int:
    from ocsentry.cli.commands.ocpasswd import run_ocpasswd as run

    return run(arguments)


def run_occtl(arguments: Sequence[str]) -> int:
    from ocsentry.occtl.program import run_occtl as run

    return run(arguments)


TOOLS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "occtl": (run_occtl, "Control the server with ocserv's words: show status, show users, disconnect user NAME …"),
    "ocpasswd": (run_ocpasswd, "Change a password file of ocserv. Options: -c FILE -g GROUPS -d -l -u USER."),
}


def add_commands(app: typer.Typer) -> None:
    for name, (tool, summary) in TOOLS.items():
        app.command(name, context_settings=VERBATIM)(_verbatim(tool, summary))


def _verbatim(tool: Callable[[Sequence[str]], int], summary: str) -> Callable[..., int]:
    def invoke(context: typer.Context) -> int:
        return tool(context.args)

    invoke.__doc__ = summary  # its help
    return invoke
