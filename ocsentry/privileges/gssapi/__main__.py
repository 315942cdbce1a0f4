# SPDX-License-Identifier: GPL-3.0-or-later
"""The GSSAPI helper's program, see ``helper_program``.

This process reads the keytab with the rights of the start. Tokens of clients are read by a worker, a process without
privileges that is forked from it and has the keys in its memory. A worker that crashes is forked again.
"""

from __future__ import annotations

import os
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from ocsentry.privileges.drop import Restrictions, drop
from ocsentry.privileges.gssapi.keytab import find_package_problem, load_keytab
from ocsentry.privileges.gssapi.scope import GssapiScope, gssapi_scope_of
from ocsentry.privileges.helper.protocol import send_message
from ocsentry.privileges.helper_program import run_helper
from ocsentry.privileges.identity import Identity

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

RESTART_DELAY = 0.2  # seconds between two workers


def prepare(scope: GssapiScope, link: socket.socket) -> Callable[[], None]:
    """Raises ``OperatorError``."""
    if (problem := find_package_problem()) is not None:
        raise OperatorError(problem)
    identity = Identity.find(scope.user)
    load_keytab(scope.keytab, scope.service)
    return partial(_supervise, link, identity, scope.max_ticket_age)


def _supervise(link: socket.socket, identity: Identity | None, max_age: int) -> None:
    """Keep one worker until the server is gone."""
    pid = _fork(link, identity, max_age)
    while os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        try:
            send_message(link, {"restarted": True})
        except OSError:  # the server is gone as well
            return
        time.sleep(RESTART_DELAY)
        pid = _fork(link, identity, max_age)


def _fork(link: socket.socket, identity: Identity | None, max_age: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        from ocsentry.privileges.gssapi.worker import Worker  # noqa: PLC0415 - of the optional extra

        drop(Restrictions(identity, None, None))
        Worker(link, max_age).run()
        code = 0
    except Exception:  # noqa: BLE001 - to the server's standard error
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    run_helper(GssapiScope.parse, gssapi_scope_of, prepare, absent="auth.methods: gssapi is not among them")
