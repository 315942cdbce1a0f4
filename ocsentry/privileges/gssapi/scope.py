# SPDX-License-Identifier: GPL-3.0-or-later
"""What the GSSAPI helper reads, and which user it becomes. The first message fixes it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.helper.protocol import Document


@dataclass(frozen=True, slots=True)
class GssapiScope:
    """``service``: keys of other services in ``keytab`` are left out. ``user``: empty for no change.

    ``max_ticket_age``: seconds since the user's proof at the KDC; 0: no limit.
    """

    keytab: str
    service: str
    user: str = ""
    max_ticket_age: int = 0

    def render(self) -> Document:
        return asdict(self)

    @classmethod
    def parse(cls, document: Document) -> GssapiScope:
        age = int(document["max_ticket_age"])
        return cls(str(document["keytab"]), str(document["service"]), str(document["user"]), age)


def gssapi_scope_of(config: LoadedConfig) -> GssapiScope | None:
    """The scope that the configuration asks for; ``None``: no login uses tickets."""
    section = config.values.auth.gssapi
    if "gssapi" not in config.vpn.method_names():
        return None
    return GssapiScope(str(section.keytab), section.service, config.values.process.user, section.max_ticket_age)
