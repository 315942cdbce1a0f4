# SPDX-License-Identifier: GPL-3.0-or-later
"""What the configuration says of this node."""

from __future__ import annotations

import hashlib
from dataclasses import field
from typing import Literal

from sentry_engine.records import dataclass

SECRET_CHECK = b"ocsentry fleet: the same secret on all nodes"  # what the database may know of the secret


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """``[fleet]``. ``secret`` are the 32 bytes of ``secret_file``; seconds are seconds."""

    name: str
    secret: bytes = field(repr=False)
    instance: str  # of the same text after each restart of this server, and of no other server
    version: str
    peer_url: str = ""
    dead_after: float = 10.0
    addresses: Literal["nat", "routed"] = "nat"
    on_store_loss: Literal["local", "deny"] = "local"
    in_split: Literal["give_way", "hold"] = "give_way"

    @property
    def secret_check(self) -> bytes:
        """A digest by which nodes with another secret are refused. The secret has 256 bits: it cannot be guessed."""
        return hashlib.sha256(SECRET_CHECK + self.secret).digest()
