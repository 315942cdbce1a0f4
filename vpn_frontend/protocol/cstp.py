# SPDX-License-Identifier: GPL-3.0-or-later
"""CSTP frames that Python writes or reads: DISCONNECT. Packets stay in the gateway.

A frame is ``STF\\x01``, the payload's length (16 bits, big endian), the type, a zero; then the payload
(draft-mavrogiannopoulos-openconnect, "The CSTP Channel Protocol").
"""

from __future__ import annotations

from enum import IntEnum

from sentry_engine.records import dataclass
from vpn_frontend.protocol.constants import MAX_TLS_RECORD

MAGIC = b"STF\x01"
DISCONNECT = 5  # the frame type that ends a tunnel
MAX_DISCONNECT_TEXT = 200  # bytes; one line on the user's terminal


class DisconnectReason(IntEnum):
    """The first byte of a DISCONNECT, in both directions. Values are those that clients send."""

    NONE = 0x00
    LOCAL_ERROR = 0x70
    RECONNECT = 0x91
    USER = 0xB0
    PAUSE = 0xD1


ENDING_REASONS = frozenset({DisconnectReason.USER, DisconnectReason.LOCAL_ERROR})
# AnyConnect sends this text before it reconnects with its cookie at once, whatever the reason byte.
RECONNECT_TEXT = b"negotiate a different MTU"


@dataclass(slots=True)  # not frozen: made for each login, and frozen fields are slow to set
class CloseMessage:
    """A DISCONNECT of a client. ``final``: the client does not return, so its cookie ends."""

    reason: int
    text: str
    final: bool


def frame(kind: int, payload: bytes = b"") -> bytes:
    """One frame. Raises ``ValueError`` for a payload above ``MAX_TLS_RECORD``."""
    if len(payload) > MAX_TLS_RECORD:
        raise ValueError(f"a CSTP payload of {len(payload)} bytes (at most {MAX_TLS_RECORD})")
    return MAGIC + len(payload).to_bytes(2, "big") + bytes((kind, 0)) + payload


def disconnect_frame(text: str, reason: int = DisconnectReason.USER) -> bytes:
    """A DISCONNECT frame. The client shows ``text`` and does not return.

    openconnect prints single ASCII bytes and a dot for all others, so everything else becomes a question mark here.
    """
    printable = text.encode("ascii", "replace").translate(_PRINTABLE)[:MAX_DISCONNECT_TEXT]
    return frame(DISCONNECT, bytes((reason,)) + printable)


def parse_disconnect(payload: bytes) -> CloseMessage:
    """Read the payload of a DISCONNECT. After an unknown or missing reason the client may return."""
    if not payload:
        return CloseMessage(DisconnectReason.NONE, "", final=False)
    text = payload[1 : 1 + MAX_DISCONNECT_TEXT].rstrip(b"\0").translate(_PRINTABLE).decode("ascii")
    final = payload[0] in ENDING_REASONS and RECONNECT_TEXT not in payload
    return CloseMessage(payload[0], text, final)


_PRINTABLE = bytes(byte if 0x20 <= byte < 0x7F else ord("?") for byte in range(256))
