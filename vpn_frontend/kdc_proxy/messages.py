# SPDX-License-Identifier: GPL-3.0-or-later
"""KDC-PROXY-MESSAGE (MS-KKDCP, section 2.2.2) in DER, as far as a proxy reads and writes it. Pure.

``SEQUENCE { kerb-message [0] OCTET STRING, target-domain [1] GeneralString OPTIONAL, dclocator-hint [2] INTEGER
OPTIONAL }``, with explicit tags. The Kerberos message has its length of four bytes before it, as over TCP (RFC 4120,
section 7.2.2), so it goes to a KDC as it is.
"""

from __future__ import annotations

from sentry_engine.records import dataclass

MAX_REPLY = 128 * 1024  # bytes of a KDC's answer
MAX_REALM = 255  # characters
MAX_FIELDS = 3
PREFIX = 4  # bytes of the length before a Kerberos message
SEQUENCE, OCTET_STRING, GENERAL_STRING = 0x30, 0x04, 0x1B
MESSAGE, DOMAIN = 0xA0, 0xA1  # context-specific, constructed
LONG_FORM, MAX_LENGTH_BYTES = 0x80, 4


class ProxyMessageError(ValueError):
    """The bytes are no message of this form."""


@dataclass(frozen=True, slots=True)
class ProxyMessage:
    """``kerberos`` begins with its length. ``realm`` is empty where the client names none."""

    kerberos: bytes
    realm: str = ""


def parse_proxy_message(data: bytes) -> ProxyMessage:
    """Raises ``ProxyMessageError``."""
    tag, body, rest = _read_element(data)
    if tag != SEQUENCE or rest:
        raise ProxyMessageError("the body is no message for a KDC")
    kerberos, realm = None, ""
    for _ in range(MAX_FIELDS):
        if not body:
            break
        tag, value, body = _read_element(body)
        if tag == MESSAGE:
            kerberos = _inner(value, OCTET_STRING)
        elif tag == DOMAIN:
            realm = _read_realm(_inner(value, GENERAL_STRING))
    if body:
        raise ProxyMessageError(f"it has more than {MAX_FIELDS} fields")
    size = -1 if kerberos is None else len(kerberos) - PREFIX
    if kerberos is None or size <= 0 or int.from_bytes(kerberos[:PREFIX], "big") != size:
        raise ProxyMessageError("it has no Kerberos message of the length that it says")
    return ProxyMessage(kerberos, realm)


def render_proxy_message(kerberos: bytes) -> bytes:
    """A KDC's answer, which begins with its length, for the client."""
    return _element(SEQUENCE, _element(MESSAGE, _element(OCTET_STRING, kerberos)))


def _inner(value: bytes, wanted: int) -> bytes:
    tag, inner, rest = _read_element(value)
    if tag != wanted or rest:
        raise ProxyMessageError("a field has another type")
    return inner


def _read_realm(text: bytes) -> str:
    realm = text.decode("ascii", "replace")
    if len(realm) > MAX_REALM or not realm.isascii() or not realm.isprintable():
        raise ProxyMessageError("its realm is none")
    return realm


def _read_element(data: bytes) -> tuple[int, bytes, bytes]:
    """(tag, content, what follows) of the first element; tags have one byte here."""
    if len(data) < 2:
        raise ProxyMessageError("it ends within an element")
    size, start = data[1], 2
    if size >= LONG_FORM:
        count = size - LONG_FORM
        if not 1 <= count <= MAX_LENGTH_BYTES or len(data) < 2 + count:
            raise ProxyMessageError("an element has no definite length")
        size, start = int.from_bytes(data[2 : 2 + count], "big"), 2 + count
    if len(data) - start < size:
        raise ProxyMessageError("an element is longer than the message")
    return data[0], data[start : start + size], data[start + size :]


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < LONG_FORM:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, LONG_FORM + len(length))) + length + content
