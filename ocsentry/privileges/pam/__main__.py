# SPDX-License-Identifier: GPL-3.0-or-later
"""The PAM helper's program: ``python -m ocsentry.privileges.pam DESCRIPTOR [CONFIGURATION]``.

Started as the other helper is: by the server before it gives its privileges up, or by a service manager, which names
the configuration that the scope comes from then. PAM's modules need the rights of the host's logins, so this process
keeps its own. It reads no byte of a client but a user name, an address, and answers that it passes to modules.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys
from pathlib import Path

from ocsentry.errors import OperatorError
from ocsentry.privileges.helper.protocol import receive_message, send_message
from ocsentry.privileges.pam.libpam import LibPam
from ocsentry.privileges.pam.scope import PamScope, pam_scope_of
from ocsentry.privileges.pam.spawner import Spawner

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
        scope = _read_scope(Path(sys.argv[CONFIG_ARGUMENT])) if len(sys.argv) > CONFIG_ARGUMENT else None
        scope = scope or PamScope.parse(first[0]["scope"])
        library = LibPam()
    except (OperatorError, OSError) as error:
        send_message(link, {"error": str(error)})
        return
    send_message(link, {"ok": True})
    Spawner(library, scope, link).run()


def _read_scope(path: Path) -> PamScope:
    from ocsentry.configuration.model import load_config  # noqa: PLC0415 - large, and not needed by a server's own helper

    scope = pam_scope_of(load_config(path))
    if scope is None:
        raise OperatorError(f"{path}: auth.methods: pam is not among them")
    return scope


if __name__ == "__main__":
    main()
