# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of occtl, and how a line names one. Pure.

Blanks are collapsed and letters' case is ignored. A line names the first command of the table that agrees with it as
far as the shorter of both goes, so ``show stat`` is ``show status``. What follows the command is its argument.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator


class Verb(Enum):
    DISCONNECT_USER = auto()
    DISCONNECT_ID = auto()
    TERMINATE_USER = auto()
    TERMINATE_ID = auto()
    TERMINATE_SESSION = auto()
    UNBAN_IP = auto()
    RELOAD = auto()
    SHOW_STATUS = auto()
    SHOW_USERS = auto()
    SHOW_IP_BANS = auto()
    SHOW_IP_BAN_POINTS = auto()
    SHOW_IROUTES = auto()
    SHOW_SESSIONS_ALL = auto()
    SHOW_SESSIONS_VALID = auto()
    SHOW_SESSION = auto()
    SHOW_USER = auto()
    SHOW_ID = auto()
    SHOW_EVENTS = auto()
    STOP = auto()
    RESET = auto()
    HELP = auto()
    EXIT = auto()


@dataclass(frozen=True, slots=True)
class Command:
    """``argument`` is shown in the help; empty: it takes none. Hidden ones are no part of the help."""

    name: str
    verb: Verb
    meaning: str
    argument: str = ""
    interactive: bool = False
    hidden: bool = False


COMMANDS = (
    Command("disconnect user", Verb.DISCONNECT_USER, "Disconnect the specified user", "[NAME]"),
    Command("disconnect id", Verb.DISCONNECT_ID, "Disconnect the specified ID", "[ID]"),
    Command("terminate user", Verb.TERMINATE_USER, "Disconnect a user and invalidate the sessions", "[NAME]"),
    Command("terminate id", Verb.TERMINATE_ID, "Disconnect an ID and invalidate its session", "[ID]"),
    Command("terminate session", Verb.TERMINATE_SESSION, "Invalidate the specified session", "[SID]"),
    Command("unban ip", Verb.UNBAN_IP, "Unban the specified IP", "[IP]"),
    Command("reload", Verb.RELOAD, "Reloads the server configuration"),
    Command("show status", Verb.SHOW_STATUS, "Prints the status and statistics of the server"),
    Command("show users", Verb.SHOW_USERS, "Prints the connected users"),
    Command("show ip bans", Verb.SHOW_IP_BANS, "Prints the banned IP addresses"),
    Command("show ip ban points", Verb.SHOW_IP_BAN_POINTS, "Prints all the known IP addresses which have points"),
    Command("show iroutes", Verb.SHOW_IROUTES, "Prints the routes provided by users of the server"),
    Command("show sessions all", Verb.SHOW_SESSIONS_ALL, "Prints all the session IDs"),
    Command("show sessions valid", Verb.SHOW_SESSIONS_VALID, "Prints all the valid for reconnection sessions"),
    Command("show session", Verb.SHOW_SESSION, "Prints information on the specified session", "[SID]"),
    Command("show user", Verb.SHOW_USER, "Prints information on the specified user", "[NAME]"),
    Command("show id", Verb.SHOW_ID, "Prints information on the specified ID", "[ID]"),
    Command("show events", Verb.SHOW_EVENTS, "Provides information about connecting users"),
    Command("stop", Verb.STOP, "Terminates the server", "now"),
    Command("reset", Verb.RESET, "Begins another period of the statistics"),
    Command("help", Verb.HELP, "Prints this help", "or ?", interactive=True),
    Command("exit", Verb.EXIT, "Exits this application", interactive=True),
    Command("?", Verb.HELP, "", hidden=True),
    Command("quit", Verb.EXIT, "", hidden=True),
    Command("show cookies all", Verb.SHOW_SESSIONS_ALL, "", hidden=True),
    Command("show cookies valid", Verb.SHOW_SESSIONS_VALID, "", hidden=True),
)


def find_command(line: str) -> tuple[Command, str] | None:
    """The command that ``line`` names, and its argument. ``None``: there is none."""
    words = " ".join(line.split())
    if not words:
        return None
    for command in COMMANDS:
        shared = min(len(words), len(command.name))
        if words[:shared].lower() == command.name[:shared]:
            return command, words[len(command.name) :].strip()
    return None


def lacks_argument(command: Command, argument: str) -> bool:
    """True if the help of the command is wanted instead of its work."""
    wants = bool(command.argument) and command.verb is not Verb.HELP
    return argument == "?" or (wants and not argument)


def describe(command: Command) -> str:
    name = f"{command.name} {command.argument}".rstrip()
    return f" {name:>22}\t{command.meaning}"


def describe_all(*, interactive: bool) -> Iterator[str]:
    """The lines of the help."""
    yield "Available Commands"
    for command in COMMANDS:
        if not command.hidden and (interactive or not command.interactive):
            yield describe(command)
