# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual page ocsentry(1), rendered from the commands: ``python -m ocsentry.cli.manual FILE``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ocsentry.cli.app import build_app

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED = frozenset({"config", "as_json", "help"})  # described once


def render_manual() -> str:
    """Returns the page in man(7) macros. It has no date, so it is the same for the same commands."""
    root = typer.main.get_command(build_app())
    return "\n".join([*_head(root), *_commands(root, ("ocsentry",)), *_tail()]) + "\n"


def _head(root: Any) -> Iterator[str]:  # noqa: ANN401 - typer's own copy of click has no public types
    yield '.TH OCSENTRY 1 "" "ocsentry" "User Commands"'
    yield from (".SH NAME", r"ocsentry \- VPN server with a policy engine", ".SH SYNOPSIS")
    yield from (".B ocsentry", r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGS\fR]...", ".SH DESCRIPTION", _text(root.help))
    yield from (".SH OPTIONS", "These options are accepted after every command, too.")
    yield from _options(root)
    yield ".SH COMMANDS"


def _commands(group: Any, words: tuple[str, ...]) -> Iterator[str]:  # noqa: ANN401
    for name, command in group.commands.items():
        if command.hidden:
            continue
        path = (*words, name)
        if getattr(command, "commands", None):
            yield from (f".SS {' '.join(path[1:])}", _text(command.help))
            yield from _commands(command, path)
            continue
        arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
        usage = " ".join(escape(argument.metavar or argument.name.upper()) for argument in arguments)
        yield from (".TP", rf"\fB{escape(' '.join(path))}\fR {usage}".rstrip(), _text(command.help))
        options = list(_options(command, without=SHARED))
        if options:
            yield from (".RS", *options, ".RE")


def _options(command: Any, without: frozenset[str] = frozenset()) -> Iterator[str]:  # noqa: ANN401
    for parameter in command.params:
        if parameter.param_type_name != "option" or parameter.hidden or parameter.name in without:
            continue
        names = ", ".join(rf"\fB{escape(name)}\fR" for name in (*parameter.opts, *parameter.secondary_opts))
        value = "" if parameter.is_flag else rf" \fI{escape(parameter.metavar or parameter.name.upper())}\fR"
        yield from (".TP", f"{names}{value}", _text(parameter.help))


def _tail() -> Iterator[str]:
    yield from (
        ".SH EXIT STATUS",
        "0: done. 3: no server runs. Any other number: an error, described on standard error.",
    )
    yield from (".SH ENVIRONMENT", ".TP", ".B OCSENTRY_CONFIG", "The configuration file.")
    yield from (".TP", ".B OCSENTRY_DEBUG", "If it is set, an unexpected error prints its traceback.")


def _text(text: str | None) -> str:
    return escape(" ".join((text or "").split()))


def escape(text: str) -> str:
    """Returns ``text`` without what man(7) would read as a macro or an escape sequence."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render_manual())
