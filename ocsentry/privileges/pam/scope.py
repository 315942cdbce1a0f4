# SPDX-License-Identifier: GPL-3.0-or-later
"""What the PAM helper may do. It is fixed by the first message, before the server has read a byte from the network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.helper.protocol import Document

MAX_PROCESSES = 80  # the server has 64 conversations at most


@dataclass(frozen=True, slots=True)
class PamScope:
    """One ``service``; groups from ``gid_min`` on; ``deadline``: seconds until a conversation is killed.

    ``processes``: conversations at once, and those that are being killed.
    """

    service: str
    gid_min: int
    deadline: int
    processes: int = MAX_PROCESSES

    def render(self) -> Document:
        return asdict(self)

    @classmethod
    def parse(cls, document: Document) -> PamScope:
        return cls(
            str(document["service"]), int(document["gid_min"]), int(document["deadline"]), int(document["processes"])
        )


def pam_scope_of(config: LoadedConfig) -> PamScope | None:
    """The scope that the configuration asks for; ``None``: it does not use PAM."""
    auth = config.values.auth
    if "pam" not in config.vpn.method_names():
        return None
    return PamScope(auth.pam.service, auth.pam.gid_min, auth.timeout)
