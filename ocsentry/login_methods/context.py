# SPDX-License-Identifier: GPL-3.0-or-later
"""What methods of authentication are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from admin_api.store import Store
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.helper.client import Helper
    from vpn_frontend.ports import EventSink


@dataclass(frozen=True, slots=True)
class MethodContext:
    """``helper`` does what needs privileges: the server has given its own up."""

    config: LoadedConfig
    store: Store
    events: EventSink
    helper: Helper
