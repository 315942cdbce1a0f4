# SPDX-License-Identifier: GPL-3.0-or-later
"""The PAM helper's program, see ``helper_program``.

PAM's modules need the rights of the host's logins, so this process keeps its own. It reads no byte of a client but a
user name, an address, and answers that it passes to modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocsentry.privileges.helper_program import run_helper
from ocsentry.privileges.pam.libpam import LibPam
from ocsentry.privileges.pam.scope import PamScope, pam_scope_of
from ocsentry.privileges.pam.spawner import Spawner

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


def prepare(scope: PamScope, link: socket.socket) -> Callable[[], None]:
    return Spawner(LibPam(), scope, link).run


if __name__ == "__main__":
    run_helper(PamScope.parse, pam_scope_of, prepare, absent="auth.methods: pam is not among them")
