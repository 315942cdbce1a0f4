# SPDX-License-Identifier: GPL-3.0-or-later
"""The hook helper's program: ``python -m ocsentry.privileges.hooks DESCRIPTOR [CONFIGURATION]``.

Started as the other helpers are: by the server before it gives its privileges up, or by a service manager, which names
the configuration that the scope comes from then. Hooks change firewalls and routes, so this process keeps its rights.
It starts the programs of its scope only, and checks the environment that the server asks for.
"""

from __future__ import annotations

import pwd
import resource
import signal
import socket
import sys
from pathlib import Path

from ocsentry.errors import OperatorError
from ocsentry.privileges.helper.protocol import receive_message, send_message
from ocsentry.privileges.hooks.scope import HookScope, hook_scope_of
from ocsentry.privileges.hooks.spawner import HookSpawner

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # it ends with the server
CONFIG_ARGUMENT = 2


def main() -> None:
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    link = socket.socket(fileno=int(sys.argv[1]))
    first = receive_message(link)
    if first is None:
        return
    try:
        named = len(sys.argv) > CONFIG_ARGUMENT
        scope = _read_scope(Path(sys.argv[CONFIG_ARGUMENT])) if named else HookScope.parse(first[0]["scope"])
        _check_user(scope.user)
    except (OperatorError, OSError) as error:
        send_message(link, {"error": str(error)})
        return
    send_message(link, {"ok": True})
    HookSpawner(scope, link).run()


def _check_user(name: str) -> None:
    """Raises ``OperatorError``."""
    try:
        if name:
            pwd.getpwnam(name)
    except KeyError:
        raise OperatorError(f"vpn.hooks.user: there is no user {name}") from None


def _read_scope(path: Path) -> HookScope:
    from ocsentry.configuration.model import load_config  # noqa: PLC0415 - large, and not needed by a server's own helper

    scope = hook_scope_of(load_config(path))
    if scope is None:
        raise OperatorError(f"{path}: vpn.hooks: there is no program")
    return scope


if __name__ == "__main__":
    main()
