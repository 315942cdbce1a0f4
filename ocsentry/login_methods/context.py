# SPDX-License-Identifier: GPL-3.0-or-later
"""What methods of authentication are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.second_factors.secret_box import SecretBox
from ocsentry.errors import OperatorError
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from admin_api.store import Store
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.gssapi.client import GssapiHelper
    from ocsentry.privileges.helper.client import Helper
    from ocsentry.privileges.pam.client import PamHelper
    from ocsentry.user_files.oath_factors import OathUsers
    from vpn_frontend.auth.supervised_method import Observe
    from vpn_frontend.ports import EventSink, UserDirectory


@dataclass(frozen=True, slots=True)
class MethodContext:
    """``helper``, ``pam`` and ``gssapi`` do what needs privileges: the server has given its own up.

    ``totp_key`` was read before that. ``users`` are all users; ``None``: those of the store.
    ``observe`` is told every outcome of a method.
    """

    config: LoadedConfig
    store: Store
    events: EventSink
    helper: Helper
    totp_key: bytes | None = None
    pam: PamHelper | None = None
    gssapi: GssapiHelper | None = None
    users: UserDirectory | None = None
    one_time: OathUsers | None = None  # users of a file with one-time passwords
    observe: Observe = lambda *_: None
    host: str = ""  # the virtual host that has these users; empty: the server itself

    @property
    def directory(self) -> UserDirectory:
        return self.store if self.users is None else self.users

    def secret_box(self) -> SecretBox:
        """What opens the secrets of the store. Raises ``OperatorError`` without a key."""
        if self.totp_key is None:
            raise OperatorError(f"auth.totp.key_file: {self.config.vpn.auth.totp.key_file} does not exist")
        return SecretBox(self.totp_key)
