# SPDX-License-Identifier: GPL-3.0-or-later
"""What the PAM helper may do. It is fixed by the first message, before the server has read a byte from the network."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.helper.protocol import Document

MAX_PROCESSES = 120  # the server has 64 conversations at most, and 32 changes of sessions


@dataclass(frozen=True, slots=True)
class PamService:
    """A file of ``/etc/pam.d``, and the smallest number that a group of a login has."""

    service: str
    gid_min: int


@dataclass(frozen=True, slots=True)
class PamScope:
    """Logins use ``services``, sessions the service ``session`` (empty: they have none).

    ``deadline``: seconds until a conversation is killed; ``processes``: conversations at once, and those being killed.
    """

    services: tuple[PamService, ...]
    deadline: int
    processes: int = MAX_PROCESSES
    session: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Every service, once."""
        named = (*(one.service for one in self.services), self.session)
        return tuple(dict.fromkeys(name for name in named if name))

    def render(self) -> Document:
        return asdict(self)

    @classmethod
    def parse(cls, document: Document) -> PamScope:
        services = tuple(PamService(str(one["service"]), int(one["gid_min"])) for one in document["services"])
        return cls(services, int(document["deadline"]), int(document["processes"]), str(document["session"]))


def pam_service_of(config: LoadedConfig, host: str = "") -> PamService:
    """The service of the logins at a virtual host; without a name those of the server itself."""
    pam = config.auth_of(host).pam
    return PamService(pam.service, pam.gid_min)


def pam_scope_of(config: LoadedConfig) -> PamScope | None:
    """The scope that the configuration asks for; ``None``: it does not use PAM."""
    vpn, accounting = config.vpn, config.values.accounting
    places = (("", vpn.auth), *((host.name, host.auth) for host in vpn.hosts))
    named = (pam_service_of(config, host) for host, auth in places if "pam" in auth.named_methods)
    services = tuple(dict.fromkeys(named))
    if not services and not accounting.pam:
        return None
    session = (accounting.pam_service or config.values.auth.pam.service) if accounting.pam else ""
    return PamScope(services, config.values.auth.timeout, session=session)
