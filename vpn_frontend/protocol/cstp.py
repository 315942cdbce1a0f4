# SPDX-License-Identifier: GPL-3.0-or-later
"""CSTP frames, as far as Python writes or reads them: the farewells. Packets never come here.

A frame is ``STF\\x01``, the payload's length (16 bits, big endian), the type, a zero; then the payload
(draft-mavrogiannopoulos-openconnect, "The CSTP Channel Protocol").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

MAGIC = b"STF\x01"
MAX_PAYLOAD = 16384  # bytes; what a client takes in one TLS record
MAX_FAREWELL_TEXT = 200  # bytes; one line on the user's terminal


class FrameType(IntEnum):
    DATA = 0
    DPD_REQUEST = 3
    DPD_RESPONSE = 4
    DISCONNECT = 5
    KEEPALIVE = 7
    COMPRESSED = 8
    TERMINATE = 9


class FarewellReason(IntEnum):
    """The first byte of a DISCONNECT, both ways (the values clients were seen to send)."""

    NONE = 0x00
    LOCAL_ERROR = 0x70
    RECONNECT = 0x91
    USER = 0xB0
    PAUSE = 0xD1


ENDING_REASONS = frozenset({FarewellReason.USER, FarewellReason.LOCAL_ERROR})
# AnyConnect leaves with this text, whatever the reason byte, and comes back with its cookie at once.
RECONNECT_TEXT = b"negotiate a different MTU"


@dataclass(frozen=True, slots=True)
class Farewell:
    """What a peer said when it left. ``final``: it will not come back, its cookie is dead."""

    reason: int
    text: str
    final: bool


def frame(kind: FrameType, payload: bytes = b"") -> bytes:
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a CSTP payload of {len(payload)} bytes (at most {MAX_PAYLOAD})")
    return MAGIC + len(payload).to_bytes(2, "big") + bytes((kind, 0)) + payload


def disconnect_frame(text: str, reason: int = FarewellReason.USER) -> bytes:
    """The frame after which a client shows ``text`` and does not come back.

    openconnect prints single ASCII bytes and a dot for all others, so everything else becomes a question mark here.
    """
    printable = text.encode("ascii", "replace").translate(_PRINTABLE)[:MAX_FAREWELL_TEXT]
    return frame(FrameType.DISCONNECT, bytes((reason,)) + printable)


def parse_farewell(payload: bytes) -> Farewell:
    """Read the payload of a DISCONNECT. An unknown or missing reason keeps the session: the client may come back."""
    if not payload:
        return Farewell(FarewellReason.NONE, "", final=False)
    text = payload[1 : 1 + MAX_FAREWELL_TEXT].rstrip(b"\0").translate(_PRINTABLE).decode("ascii")
    final = payload[0] in ENDING_REASONS and RECONNECT_TEXT not in payload
    return Farewell(payload[0], text, final)


_PRINTABLE = bytes(byte if 0x20 <= byte < 0x7F else ord("?") for byte in range(256))
