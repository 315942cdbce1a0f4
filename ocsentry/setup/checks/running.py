# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a server runs on the configuration, and as which process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocsentry.api_client.client import ClientError, SocketClient

if TYPE_CHECKING:
    from ocsentry.configuration.model import LoadedConfig


def server_process(config: LoadedConfig) -> int | None:
    """Returns the process id of the running server; ``None``: none runs, or this user may not ask it."""
    client = SocketClient(config.values.admin.socket)
    try:
        return client.server_process() if client.running() else None
    except (ClientError, OSError):
        return None
