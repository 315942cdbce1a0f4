# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages between server and helper: one JSON object per packet of a Unix socket (SOCK_SEQPACKET), with descriptors.

The server sends ``{"id", "verb", ...}``. The helper answers ``{"id", "ok": true}`` or ``{"id", "error", "errno"}``.
"""

from __future__ import annotations

import array
import json
import os
import socket
from typing import Any

MAX_MESSAGE = 64 * 1024  # bytes
MAX_DESCRIPTORS = 128  # queues of one device, at most; the kernel takes 253 (SCM_MAX_FD)
DESCRIPTOR_SIZE = array.array("i").itemsize

Document = dict[str, Any]


class ProtocolError(Exception):
    """A packet is not a message."""


def send_message(link: socket.socket, document: Document, descriptors: tuple[int, ...] = ()) -> None:
    """Send one message; the caller keeps its descriptors. Raises ``OSError``, ``ValueError`` where it is too large."""
    packet = json.dumps(document).encode()
    if len(packet) > MAX_MESSAGE or len(descriptors) > MAX_DESCRIPTORS:
        raise ValueError(f"a message of {len(packet)} bytes and {len(descriptors)} descriptors is too large")
    socket.send_fds(link, [packet], list(descriptors))


def receive_message(link: socket.socket) -> tuple[Document, tuple[int, ...]] | None:
    """The next message and its descriptors, which the caller owns. ``None``: the peer is gone.

    Raises ``ProtocolError``.
    """
    # Not socket.recv_fds: Python 3.11 forgets its flags, and the descriptors would be inherited.
    room = socket.CMSG_SPACE(MAX_DESCRIPTORS * DESCRIPTOR_SIZE)
    packet, ancillary, flags, _ = link.recvmsg(MAX_MESSAGE, room, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % DESCRIPTOR_SIZE])
    try:
        document = parse_packet(packet, cut=bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)))
    except ProtocolError:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return None if document is None else (document, tuple(descriptors))


def parse_packet(packet: bytes, *, cut: bool = False) -> Document | None:
    """The message of one packet. ``None``: the peer is gone. Raises ``ProtocolError``."""
    if not packet:
        return None
    if cut:
        raise ProtocolError("a message was cut")
    try:
        document = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(str(error)) from error
    if not isinstance(document, dict):
        raise ProtocolError("a message is a JSON object")
    return document
