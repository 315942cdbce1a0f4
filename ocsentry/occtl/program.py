# SPDX-License-Identifier: GPL-3.0-or-later
"""The program ``occtl``: its options, its exit codes, and the prompt without a command."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from ocsentry.occtl.control import FAILED, OK, Control
from ocsentry.occtl.words import Verb, describe, describe_all, find_command, lacks_argument
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_SOCKET = "/var/run/occtl.socket"
PROMPT = "> "
# Short and long name, value, meaning.
OPTIONS = (
    ("-s", "--socket-file", "FILE", "Specify the server's admin socket (admin.socket)"),
    ("-h", "--help", "", "Show this help"),
    ("", "--debug", "", "Accepted, without effect"),
    ("-v", "--version", "", "Show the program's version"),
    ("-j", "--json", "", "Use JSON formatting for output"),
    ("-n", "--no-pager", "", "Do not use a pager (there is none)"),
)
USAGE = "occtl: [OPTIONS...] {COMMAND}\n\n" + "".join(
    f"  {short:2} {f'{long} {value}'.rstrip():19} {meaning}\n" for short, long, value, meaning in OPTIONS
)
FLAGS = {"-j": "as_json", "--json": "as_json", "-h": "help", "--help": "help", "-v": "version", "--version": "version"}
IGNORED = frozenset({"-n", "--no-pager", "--debug"})


class UsageError(Exception):
    """An option is not one of occtl's."""


@dataclass(slots=True)
class Options:
    socket: str = ""
    as_json: bool = False
    help: bool = False
    version: bool = False
    command: str = ""


def read_options(arguments: Sequence[str]) -> Options:
    """Options come before the command. Raises ``UsageError``."""
    options, left = Options(), list(arguments)
    while left and left[0].startswith("-"):
        word = left.pop(0)
        name, separator, value = word.partition("=")
        if word in FLAGS:
            setattr(options, FLAGS[word], True)
        elif name in ("-s", "--socket-file"):
            if not separator and not left:
                raise UsageError(f"{word} needs a file")
            options.socket = value if separator else left.pop(0)
        elif word not in IGNORED:
            raise UsageError(f"unknown option: {word}")
    options.command = " ".join(left)
    return options


def run_occtl(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0, 1 for an error, 2 for something to show that is not there."""
    try:
        options = read_options(arguments)
    except UsageError as error:
        _say(f"{error}\n{USAGE}")
        return FAILED
    if options.version:
        _say(f"OpenConnect server control (occtl) version {version('ocsentry')}\nCopyright (C) ocsentry's authors\n")
        return OK
    if options.help:
        sys.stdout.write(f"{USAGE}\n" + "\n".join(describe_all(interactive=False)) + "\n\n")
        return OK
    socket = Path(options.socket) if options.socket else _find_socket()
    return _run_line(options.command, socket, options) if options.command else _prompt(socket, options)


def _run_line(line: str, socket: Path, options: Options) -> int:
    found = find_command(line)
    if found is None:
        _say(f"unknown command: {line}\nuse help or '?' to get a list of the available commands\n")
        return FAILED
    command, argument = found
    if lacks_argument(command, argument):
        sys.stdout.write(f"{describe(command)}\n")
        return FAILED
    from ocsentry.api_client.client import NOT_RUNNING, SocketClient

    control = Control(SocketClient(socket), sys.stdout, sys.stderr, sys.stdin, as_json=options.as_json)
    try:
        return control.run(command.verb, argument)
    except OperatorError as error:
        _say(f"{error}\n")
        if error.exit_code == NOT_RUNNING and command.verb is Verb.SHOW_STATUS:
            control.tell_offline()
        return FAILED


def _prompt(socket: Path, options: Options) -> int:
    """Reads commands until ``exit`` or the end of input. Returns the code of the last one."""
    code = OK
    while True:
        try:
            line = input(PROMPT)
        except (EOFError, KeyboardInterrupt):
            sys.stdout.write("\n")
            return code
        found = find_command(line)
        if found is not None and found[0].verb is Verb.EXIT:
            return code
        if line.strip():
            code = _run_line(line, socket, options)


def _find_socket() -> Path:
    """The socket of the configuration that is found, else where ocserv has its own."""
    from ocsentry.configuration.model import ConfigError, find_config, load_config

    try:
        return load_config(find_config()).values.admin.socket
    except ConfigError:
        return Path(DEFAULT_SOCKET)


def _say(text: str) -> None:
    sys.stderr.write(text)
