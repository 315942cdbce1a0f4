# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts events by kind and reason, and the bytes of sessions that have ended."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REASONS = 64  # of one kind; further ones count as "other"
OTHER = "other"
WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")
# The field with the reason of each kind that is counted.
REASON_FIELDS = {
    VpnEvent.LOGIN_ACCEPTED: None,
    VpnEvent.LOGIN_REFUSED: "reason",
    VpnEvent.TUNNEL_REFUSED: "reason",
    VpnEvent.LINK_REFUSED: "reason",
    VpnEvent.SESSION_OPENED: None,
    VpnEvent.SESSION_ROAMED: None,
    VpnEvent.SESSION_CLOSED: "reason",
    VpnEvent.CHANNEL_LOST: "cause",
    VpnEvent.DTLS_UP: None,
    VpnEvent.DTLS_DOWN: "cause",
    VpnEvent.BACKEND_FAILED: None,
}
_FIELD_OF: dict[str, str | None] = {str(kind): name for kind, name in REASON_FIELDS.items()}
BYTES = ("rx_bytes", "tx_bytes", "dtls_rx_bytes", "dtls_tx_bytes")


class EventCounts:
    """Used on the event loop's thread only."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {kind: Counter() for kind in REASON_FIELDS}
        self.ended_bytes: Counter[str] = Counter()  # by the names of ``BYTES``

    def count(self, kind: str, fields: Mapping[str, object]) -> None:
        reasons = self._counts.get(kind)
        if reasons is None:
            return
        name = _FIELD_OF[kind]
        reason = "" if name is None else str(fields.get(name)) or OTHER
        if reason not in reasons and reason and (len(reasons) >= MAX_REASONS or not WORD.fullmatch(reason)):
            reason = OTHER
        reasons[reason] += 1
        if kind == VpnEvent.SESSION_CLOSED:
            for name in BYTES:
                if isinstance(value := fields.get(name), int):
                    self.ended_bytes[name] += value

    def by_reason(self, kind: VpnEvent) -> Mapping[str, int]:
        return self._counts[kind]

    def total(self, kind: VpnEvent) -> int:
        return self._counts[kind].total()
