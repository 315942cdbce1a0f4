# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages occtl(8) and ocpasswd(8), rendered from the tools: ``python -m ocsentry.cli.tool_manuals FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.cli.commands.ocpasswd import DEFAULT_FILE, make_parser
from ocsentry.cli.manual import escape
from ocsentry.occtl.program import DEFAULT_SOCKET, OPTIONS
from ocsentry.occtl.words import COMMANDS

if TYPE_CHECKING:
    from argparse import Action
    from collections.abc import Iterator


def render_occtl_manual() -> str:
    """Returns the page in man(7) macros."""
    lines = [
        *_head("OCCTL", "occtl", "control a running VPN server with ocserv's words"),
        ".SH SYNOPSIS",
        r".B occtl",
        r"[\fIOPTIONS\fR]... [\fICOMMAND\fR]",
        ".SH DESCRIPTION",
        "Speaks to the server over its admin socket.",
        "Words, outputs and exit codes are those of ocserv's tool of this name.",
        "Without a command it reads commands from a prompt.",
        "Letters' case is ignored, and commands may be cut short.",
        ".SH OPTIONS",
        "Options come before the command.",
    ]
    for short, long, value, meaning in OPTIONS:
        names = ", ".join(rf"\fB{escape(name)}\fR" for name in (short, long) if name)
        lines += [".TP", f"{names} \\fI{value}\\fR" if value else names, escape(f"{meaning}.")]
    lines.append(".SH COMMANDS")
    for command in COMMANDS:
        if not command.hidden:
            lines += [".TP", rf"\fB{escape(command.name)}\fR {escape(command.argument)}".rstrip()]
            lines.append(escape(f"{command.meaning}."))
    lines += [
        ".SH EXIT STATUS",
        "0: done. 1: an error, or no server. 2: the user, id or session to show is not there.",
        ".SH FILES",
        ".TP",
        rf"\fI{escape(DEFAULT_SOCKET)}\fR",
        "The socket if neither an option nor a configuration file names one.",
        *_see_also("ocsentry(1)", "ocpasswd(8)"),
    ]
    return "\n".join(lines) + "\n"


def render_ocpasswd_manual() -> str:
    """Returns the page in man(7) macros."""
    parser = make_parser()
    lines = [
        *_head("OCPASSWD", "ocpasswd", "change a password file of ocserv"),
        ".SH SYNOPSIS",
        r".B ocpasswd",
        r"[\fIOPTIONS\fR]... \fIUSER\fR",
        ".SH DESCRIPTION",
        escape(parser.description or ""),
        ".SH OPTIONS",
    ]
    formatter = parser._get_formatter()  # noqa: SLF001 - argparse fills defaults into texts nowhere else
    for action in parser._actions:  # noqa: SLF001 - nor does it list them
        if action.option_strings:
            text = formatter._expand_help(action)  # noqa: SLF001
            lines += [".TP", _option(action), escape(f"{text[:1].upper()}{text[1:]}.")]
    lines += [
        ".SH EXIT STATUS",
        "0: done. 1: an error, described on standard error.",
        ".SH FILES",
        ".TP",
        rf"\fI{escape(DEFAULT_FILE)}\fR",
        "The password file without an option. Each line is user:groups:hash.",
        *_see_also("ocsentry(1)", "occtl(8)"),
    ]
    return "\n".join(lines) + "\n"


def _option(action: Action) -> str:
    names = ", ".join(rf"\fB{escape(name)}\fR" for name in action.option_strings)
    return names if action.metavar is None else rf"{names} \fI{action.metavar}\fR"


def _head(title: str, name: str, purpose: str) -> Iterator[str]:
    yield f'.TH {title} 8 "" "ocsentry" "System Administration"'
    yield from (".SH NAME", rf"{name} \- {purpose}")


def _see_also(*pages: str) -> Iterator[str]:
    yield ".SH SEE ALSO"
    yield ", ".join(rf"\fB{page.partition('(')[0]}\fR({page.partition('(')[2]}" for page in pages)


if __name__ == "__main__":
    Path(sys.argv[1], "occtl.8").write_text(render_occtl_manual())
    Path(sys.argv[1], "ocpasswd.8").write_text(render_ocpasswd_manual())
