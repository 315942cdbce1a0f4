# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hook helper may run. The first message fixes it, before the server has read a byte from the network."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.helper.protocol import Document

MAX_PROCESSES = 32


@dataclass(frozen=True, slots=True)
class HookScope:
    """``programs``: argument lists by key. ``timeout``: seconds until one is killed. ``user``: empty for no change."""

    programs: dict[str, tuple[str, ...]]
    timeout: int
    user: str = ""
    processes: int = MAX_PROCESSES
    device: str = ""  # that routes lead to

    def render(self) -> Document:
        return asdict(self)

    @classmethod
    def parse(cls, document: Document) -> HookScope:
        programs = {str(key): tuple(map(str, argv)) for key, argv in document["programs"].items()}
        timeout, processes = int(document["timeout"]), int(document["processes"])
        return cls(programs, timeout, str(document["user"]), processes, str(document["device"]))


def hook_scope_of(config: LoadedConfig) -> HookScope | None:
    """The scope that the configuration asks for; ``None``: it has no hooks."""
    hooks = config.values.vpn.hooks
    programs = hooks.programs()
    return HookScope(programs, hooks.timeout, hooks.user, device=config.vpn.network.device) if programs else None
