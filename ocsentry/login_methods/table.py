# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of methods: what opens the method of each word of ``auth.methods`` and ``auth.require``.

A new method needs its word in ``vpn_frontend.settings.MethodName``, its kind in ``vpn_frontend.auth.login_plan`` and
its row here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method
    from vpn_frontend.settings import MethodName

    OpenMethod = Callable[[MethodContext], AbstractAsyncContextManager[Method]]

# Each module has the function ``open_NAME``. It is loaded if the method is used: libraries of others take long to load.
METHODS: Mapping[MethodName, str] = {
    "password": "ocsentry.login_methods.password",
    "bearer": "ocsentry.login_methods.bearer",
    "certificate": "ocsentry.login_methods.certificate",
    "gssapi": "ocsentry.login_methods.gssapi",
    "ldap": "ocsentry.login_methods.ldap",
    "pam": "ocsentry.login_methods.pam",
    "radius": "ocsentry.login_methods.radius",
    "totp": "ocsentry.login_methods.totp",
    "oidc": "ocsentry.login_methods.oidc",
}


def load_method(name: MethodName) -> OpenMethod:
    """Returns what opens the method of that name."""
    opener: OpenMethod = getattr(import_module(METHODS[name]), f"open_{name}")
    return opener
