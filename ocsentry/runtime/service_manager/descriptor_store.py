# SPDX-License-Identifier: GPL-3.0-or-later
"""The listening sockets in the service manager's descriptor store: taken at the start, stored once they listen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ocsentry.privileges.kept_listeners import named_listeners
from ocsentry.runtime.service_manager import systemd

if TYPE_CHECKING:
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.start import Started


def take_listeners(config: LoadedConfig) -> list[tuple[str, int]]:
    """The sockets that the last process stored, with their names. Forgotten if sessions end with their process."""
    kept = systemd.take_stored()
    if config.vpn.survive_restart:
        return kept
    for name, descriptor in kept:
        os.close(descriptor)
        systemd.notify_unstored(name)
    return []


def store_listeners(config: LoadedConfig, started: Started) -> None:
    """Clients that come back while no server runs wait for the next one."""
    if not config.vpn.survive_restart:
        return
    for name in started.unused:
        systemd.notify_unstored(name)
    for name, descriptors in named_listeners(started.descriptors.listeners, config.vpn.listen_netns).items():
        systemd.notify_stored(name, descriptors)
