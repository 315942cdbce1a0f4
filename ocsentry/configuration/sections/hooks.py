# SPDX-License-Identifier: GPL-3.0-or-later
"""``[vpn.hooks]``: programs that are run when sessions begin, change and end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from ocsentry.configuration.fields import SECONDS, Seconds, Section, field

MAX_ARGUMENTS = 32
PROGRAMS = ("connect", "disconnect", "host_update", "route_add", "route_del")


def _one_or_list(value: object) -> object:
    """Returns a list for a program without arguments; empty text is an empty list."""
    if isinstance(value, str):
        return [value] if value else []
    return value


def _resolve(argv: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Returns the list with the path of the program made absolute. Raises ``ValueError``."""
    if any("\0" in word for word in argv):
        raise ValueError("an argument cannot have a NUL")
    if not argv or not info.context:
        return argv
    if not argv[0]:
        raise ValueError("the first entry is the program")
    return (str(Path(info.context["base"]) / argv[0]), *argv[1:])


Program = Annotated[tuple[str, ...], BeforeValidator(_one_or_list), AfterValidator(_resolve)]


class HooksSection(Section):
    connect: Program = field(
        [],
        "Program and arguments, run before a session's tunnel is opened. Any other exit code than 0 refuses it.",
        max_length=MAX_ARGUMENTS,
    )
    disconnect: Program = field([], "The same, run when a session has ended.", max_length=MAX_ARGUMENTS)
    host_update: Program = field(
        [], "The same, run when a client tells its host name, or another one.", max_length=MAX_ARGUMENTS
    )
    route_add: Program = field(
        [],
        "Program and arguments that set the route to a network behind a client (`network.iroutes`), instead of the "
        "server itself; `%{R}` is the network with a netmask, `%{RI}` with a prefix length, `%{D}` the device. Run "
        "behind `connect`, and again at each connection. Any other exit code than 0 refuses the client.",
        max_length=MAX_ARGUMENTS,
    )
    route_del: Program = field(
        [], "The same, removes the route. Run when the session has ended.", max_length=MAX_ARGUMENTS
    )
    each_connection: bool = field(
        False,
        "Run `disconnect` and `connect` also when a client comes back over another connection, as ocserv does. Off: "
        "once a session.",
    )
    timeout: Seconds = field(10, "Longest time that a program may take. Then it is killed.", unit=SECONDS, ge=1, le=120)
    user: str = field("", "User that the programs run as. Empty: the user that started the server.", max_length=32)

    def programs(self) -> dict[str, tuple[str, ...]]:
        """The programs that are configured, by key."""
        given = {key: getattr(self, key) for key in PROGRAMS}
        return {key: argv for key, argv in given.items() if argv}
