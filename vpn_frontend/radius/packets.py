# SPDX-License-Identifier: GPL-3.0-or-later
"""RADIUS packets (RFC 2865, 2866): requests as they go on the wire, and their answers, checked. Pure.

A request is encoded once: every try sends the same bytes, with the same identifier and authenticator (RFC 5080 2.2.1).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from pyrad.packet import AcctPacket, AuthPacket

from sentry_engine.records import dataclass
from vpn_frontend.radius.attributes import DICTIONARY, Attribute, Key

if TYPE_CHECKING:
    from pyrad.packet import Packet

HEADER = 20  # bytes: code, identifier, length, authenticator
MAX_PACKET = 4096  # bytes, RFC 2865 3
MAX_TEXT = 253  # bytes of one attribute
MAX_PASSWORD = 128  # bytes, RFC 2865 5.2
VENDOR_SPECIFIC = 26

Attributes = Sequence[tuple[str, str | int | bytes]]  # names of DICTIONARY; a name may come more than once


class Code(IntEnum):
    ACCESS_REQUEST = 1
    ACCESS_ACCEPT = 2
    ACCESS_REJECT = 3
    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    ACCESS_CHALLENGE = 11


ANSWERS = {
    Code.ACCESS_REQUEST: frozenset({Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE}),
    Code.ACCOUNTING_REQUEST: frozenset({Code.ACCOUNTING_RESPONSE}),
}


class AnswerError(Exception):
    """A datagram is not the answer to the request. It is dropped, and the request goes on waiting (RFC 2865 3)."""


class UnsignedAnswerError(AnswerError):
    """An answer without the Message-Authenticator that was required of it (CVE-2024-3596)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A verified answer. ``values``: the raw values of each attribute, in their order."""

    code: Code
    values: Mapping[Key, tuple[bytes, ...]]

    def all(self, key: Key) -> tuple[bytes, ...]:
        return self.values.get(key, ())


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a server. ``password`` only in an Access-Request."""

    code: Code
    attributes: Attributes = field(repr=False)
    password: bytes | None = field(default=None, repr=False)

    def with_attributes(self, more: Attributes) -> Question:
        return replace(self, attributes=(*self.attributes, *more))


class Request:
    """One encoded request. ``data`` is what every try sends."""

    def __init__(self, question: Question, identifier: int, secret: bytes) -> None:
        """Raises ``ValueError`` for a value that no attribute holds, and for a packet over ``MAX_PACKET``."""
        self.identifier = identifier
        self._code = question.code
        packet = _new_packet(question.code, identifier, secret)
        for name, value in question.attributes:
            packet.AddAttribute(name, value)
        if question.password is not None:
            if not 0 < len(question.password) <= MAX_PASSWORD or 0 in question.password:
                raise ValueError("a password of no bytes, too many bytes, or with NUL")
            packet["User-Password"] = packet.PwCrypt(question.password)
        if question.code is Code.ACCESS_REQUEST:
            packet.add_message_authenticator()
        self.data: bytes = packet.RequestPacket()
        if len(self.data) > MAX_PACKET:
            raise ValueError(f"a request of {len(self.data)} bytes")
        self._packet = packet

    def read_answer(self, datagram: bytes, *, require_message_authenticator: bool) -> Answer:
        """Check a datagram of the server. Raises ``AnswerError``."""
        data = cut_padding(datagram)
        values = read_attributes(data[HEADER:])
        if data[0] not in ANSWERS[self._code]:
            raise AnswerError(f"an answer with code {data[0]}")
        self._verify(data)
        signed = Attribute.MESSAGE_AUTHENTICATOR in values
        if require_message_authenticator and not signed and self._code is Code.ACCESS_REQUEST:
            raise UnsignedAnswerError("an answer without Message-Authenticator")
        return Answer(Code(data[0]), values)

    def _verify(self, data: bytes) -> None:
        """Raises ``AnswerError`` unless identifier, authenticator and (if present) Message-Authenticator fit."""
        try:
            reply = self._packet.CreateReply(packet=data)
            right = self._packet.VerifyReply(reply, data)
        except Exception as error:  # noqa: BLE001 - whatever a library makes of hostile bytes
            raise AnswerError(f"an answer that cannot be read: {type(error).__name__}") from None
        if not right:
            raise AnswerError("an answer with a wrong authenticator: is the shared secret the same on both sides?")


def cut_padding(datagram: bytes) -> bytes:
    """The packet in a datagram: bytes beyond its length field are padding (RFC 2865 3). Raises ``AnswerError``."""
    length = int.from_bytes(datagram[2:4], "big")
    if len(datagram) < HEADER or not HEADER <= length <= min(len(datagram), MAX_PACKET):
        raise AnswerError(f"a datagram of {len(datagram)} bytes with a length of {length}")
    return datagram[:length]


def read_attributes(data: bytes) -> Mapping[Key, tuple[bytes, ...]]:
    """The attributes of a packet by number, those of vendors by vendor and number. Raises ``AnswerError``."""
    found: dict[Key, list[bytes]] = {}
    for number, value in _split(data):
        if number != VENDOR_SPECIFIC:
            found.setdefault(number, []).append(value)
            continue
        try:
            inner = _split(value[4:])
        except AnswerError:
            continue  # RFC 2865 5.26: a vendor may lay its bytes out in another way
        vendor = int.from_bytes(value[:4], "big")
        for vendor_number, vendor_value in inner:
            found.setdefault((vendor, vendor_number), []).append(vendor_value)
    return {key: tuple(values) for key, values in found.items()}


def _split(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        if len(data) < 2 or not 2 <= data[1] <= len(data):
            raise AnswerError("an attribute whose length does not fit")
        found.append((data[0], data[2 : data[1]]))
        data = data[data[1] :]
    return found


def _new_packet(code: Code, identifier: int, secret: bytes) -> Packet:
    if code is Code.ACCESS_REQUEST:
        return AuthPacket(id=identifier, secret=secret, authenticator=os.urandom(16), dict=DICTIONARY)
    return AcctPacket(id=identifier, secret=secret, dict=DICTIONARY)


def clip_text(text: str) -> str:
    """``text`` cut to what one attribute holds, at the end of a character."""
    return text.encode()[:MAX_TEXT].decode(errors="ignore")
