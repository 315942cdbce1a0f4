# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the counters of sessions outlive the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ocsentry.configuration.model import LoadedConfig


def accounts_file(config: LoadedConfig) -> Path | None:
    """Where the counters of sessions outlive the process: beside the control socket, which is usually on a tmpfs."""
    if not config.vpn.survive_restart:
        return None
    socket = config.values.admin.socket
    return socket.with_name(socket.name + ".accounts")
