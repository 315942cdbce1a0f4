# SPDX-License-Identifier: GPL-3.0-or-later
"""How the program of a started helper begins: ``python -m MODULE DESCRIPTOR [CONFIGURATION]``.

Started by the server before it gives its privileges up, or by a service manager, which names the configuration that the
scope comes from then.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ocsentry.errors import OperatorError
from ocsentry.privileges.helper.protocol import receive_message, send_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.helper.protocol import Document

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # it ends with the server
CONFIG_ARGUMENT = 2
ScopeT = TypeVar("ScopeT")


def run_helper(
    parse: Callable[[Document], ScopeT],
    find: Callable[[LoadedConfig], ScopeT | None],
    prepare: Callable[[ScopeT, socket.socket], Callable[[], None]],
    *,
    absent: str,
) -> None:
    """Run to the end of the server. ``prepare`` returns what serves; it may raise ``OperatorError`` or ``OSError``.

    ``parse`` reads the scope of the first message, ``find`` that of a configuration. ``absent`` says what a
    configuration without a scope lacks.
    """
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    link = socket.socket(fileno=int(sys.argv[1]))
    first = receive_message(link)
    if first is None:
        return
    try:
        named = len(sys.argv) > CONFIG_ARGUMENT
        scope = _read_scope(Path(sys.argv[CONFIG_ARGUMENT]), find, absent) if named else parse(first[0]["scope"])
        serve = prepare(scope, link)
    except (OperatorError, OSError) as error:
        send_message(link, {"error": str(error)})
        return
    send_message(link, {"ok": True})
    serve()


def _read_scope(path: Path, find: Callable[[LoadedConfig], ScopeT | None], absent: str) -> ScopeT:
    from ocsentry.configuration.model import load_config  # noqa: PLC0415 - large, and not needed by a server's own helper

    scope = find(load_config(path))
    if scope is None:
        raise OperatorError(f"{path}: {absent}")
    return scope
