# SPDX-License-Identifier: GPL-3.0-or-later
"""The hook helper's program, see ``helper_program``.

Hooks change firewalls and routes, so this process keeps its rights. It starts the programs of its scope only, and
checks the environment that the server asks for.
"""

from __future__ import annotations

import pwd
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from ocsentry.privileges.helper_program import run_helper
from ocsentry.privileges.hooks.scope import HookScope, hook_scope_of
from ocsentry.privileges.hooks.spawner import HookSpawner

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


def prepare(scope: HookScope, link: socket.socket) -> Callable[[], None]:
    """Raises ``OperatorError`` for a user that does not exist."""
    try:
        if scope.user:
            pwd.getpwnam(scope.user)
    except KeyError:
        raise OperatorError(f"vpn.hooks.user: there is no user {scope.user}") from None
    return HookSpawner(scope, link).run


if __name__ == "__main__":
    run_helper(HookScope.parse, hook_scope_of, prepare, absent="vpn.hooks: there is no program")
