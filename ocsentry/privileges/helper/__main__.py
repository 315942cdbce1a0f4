# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper's program: ``python -m ocsentry.privileges.helper DESCRIPTOR [CONFIGURATION]``.

The server starts it with a descriptor of its socket, or a service manager with a connection and the configuration. The
first message says what it may act on and how it is confined; it answers ``ready``, then one request at a time. It
ends when the server's end of the socket is closed, so it never outlives the server. Signals do not end it: a service
manager sends them to the whole group, and the server needs its helper until its sessions are closed.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from ocsentry.privileges.capabilities import CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE
from ocsentry.privileges.drop import Restrictions, drop
from ocsentry.privileges.filters import Role, build
from ocsentry.privileges.helper.answer import Answer, Refused
from ocsentry.privileges.helper.late_files import mentioned_folders
from ocsentry.privileges.helper.protocol import ProtocolError, receive_message, send_message
from ocsentry.privileges.helper.scope import Scope
from ocsentry.privileges.helper.verbs import VERBS
from ocsentry.privileges.landlock import Port
from ocsentry.privileges.packet_filter.verbs import PacketFilter
from ocsentry.privileges.reach import reach_of_helper
from ocsentry.privileges.signing.verbs import SigningProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ocsentry.privileges.helper.protocol import Document

    Verbs = Mapping[str, Callable[[Scope, Document], Answer]]

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KEPT = frozenset([CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_DAC_READ_SEARCH])  # as far as it is started with them
CONFIG_ARGUMENT = 2
TUN = Path("/dev/net/tun")
ANY_FILE = "file"  # stands for those of a folder


def main() -> None:
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    link = socket.socket(fileno=int(sys.argv[1]))
    first = receive_message(link)
    if first is None:
        return
    try:
        scope, verbs = confine(first[0], link)
    except OperatorError as error:
        send_message(link, {"error": str(error)})
        return
    send_message(link, {"ok": True})
    serve(link, scope, verbs)


def confine(setup: Document, link: socket.socket) -> tuple[Scope, Verbs]:
    """Give up what no verb needs. Returns what the verbs may act on, and the verbs. Raises ``PrivilegeError``.

    With a configuration file as second argument, the scope comes from that file alone. A service manager has started
    this helper then, and the server that connects may have been taken over.
    """
    if len(sys.argv) > CONFIG_ARGUMENT:
        scope, seccomp, landlock = _read_configuration(Path(sys.argv[CONFIG_ARGUMENT]))
    else:
        scope, seccomp, landlock = Scope.parse(setup["scope"]), setup["seccomp"], setup["landlock"]
    verbs = {**VERBS, **(PacketFilter(scope).verbs() if scope.packet_filter else {})}
    if scope.private_files:
        verbs |= SigningProcess.start(seccomp, landlock=landlock, inherited=[link]).verbs()
    program = None if seccomp == "off" else build(Role.HELPER, seccomp)
    files = [scope.configuration, *scope.files.values()]
    files += [folder / ANY_FILE for folder in mentioned_folders(scope.configuration)]
    reach = reach_of_helper(files, [TUN]) if landlock else None
    drop(Restrictions(None, program, reach, KEPT, Port.CONNECT))
    return scope, verbs


def _read_configuration(path: Path) -> tuple[Scope, str, bool]:
    from ocsentry.configuration.model import load_config  # noqa: PLC0415 - large, and not needed by a server's own helper
    from ocsentry.privileges.helper.configured import scope_of  # noqa: PLC0415

    config = load_config(path)
    return scope_of(config), config.values.process.seccomp, config.values.process.landlock


def serve(link: socket.socket, scope: Scope, verbs: Verbs) -> None:
    """Answer requests until the server is gone. A packet that is not a request ends the helper."""
    while (received := receive_message(link)) is not None:
        message, descriptors = received
        if descriptors:
            raise ProtocolError("requests carry no descriptors")
        document, answer = _answer(verbs, scope, message)
        try:
            send_message(link, {"id": message.get("id"), **document}, answer.descriptors)
        finally:
            for descriptor in answer.descriptors:
                os.close(descriptor)


def _answer(verbs: Verbs, scope: Scope, message: Document) -> tuple[Document, Answer]:
    verb = verbs.get(str(message.get("verb")))
    if verb is None:
        return {"error": "there is no such verb", "errno": 0}, Answer()
    try:
        answer = verb(scope, message)
    except Refused as error:
        return {"error": str(error), "errno": 0}, Answer()
    except OSError as error:  # TimeoutError is one
        return {"error": error.strerror or "it took too long", "errno": error.errno or 0}, Answer()
    return {"ok": True, **answer.fields}, answer


if __name__ == "__main__":
    main()
