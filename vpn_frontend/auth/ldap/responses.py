# SPDX-License-Identifier: GPL-3.0-or-later
"""Responses of an LDAP server (RFC 4511 section 4), read from BER with bounds. Pure.

A server that was taken over, or that is none, must not cost more than the bounds. So lengths are checked before a
byte is kept, values are counted while they are read, and an unknown operation is an error.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MESSAGE = 256 * 1024  # bytes; an entry that names 1000 groups has about 100 KB
MAX_VALUES = 4096  # of all attributes of one entry
MAX_DIAGNOSTIC = 1024  # bytes of a diagnostic message that are kept
MAX_LENGTH_BYTES = 4

SEQUENCE, SET, BOOLEAN, INTEGER, OCTETS, ENUMERATED = 0x30, 0x31, 0x01, 0x02, 0x04, 0x0A
BIND_RESPONSE, SEARCH_ENTRY, SEARCH_DONE, SEARCH_REFERENCE, EXTENDED_RESPONSE = 0x61, 0x64, 0x65, 0x73, 0x78
CONTROLS = 0xA0


class ResponseError(ValueError):
    """The server sent what is no LDAP response, or more than a bound allows."""


@dataclass(frozen=True, slots=True)
class Result:
    """The end of an operation: a result code, and the server's text, which may hold anything."""

    code: int
    diagnostic: str = ""
    controls: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. Attribute names are in lower case."""

    dn: str
    attributes: dict[str, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class Reference:
    """A referral to another server. It is not followed."""


class Response(NamedTuple):
    message_id: int
    operation: int  # the tag
    body: Result | Entry | Reference


class _Element(NamedTuple):
    tag: int
    start: int  # of the content
    end: int


def message_length(received: bytes | bytearray) -> int | None:
    """Bytes of the first message of ``received``; ``None``: its header is not complete. Raises ``ResponseError``."""
    if not received:
        return None
    if received[0] != SEQUENCE:
        raise ResponseError("not an LDAP message")
    if len(received) < 2:
        return None
    length, header = received[1], 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= MAX_LENGTH_BYTES:
            raise ResponseError("the length of a message is of another form")
        header += size
        if len(received) < header:
            return None
        length = int.from_bytes(received[2:header], "big")
    if header + length > MAX_MESSAGE:
        raise ResponseError(f"a message of {header + length} bytes (at most {MAX_MESSAGE})")
    return header + length


def parse_response(message: bytes) -> Response:
    """Read one whole message. Raises ``ResponseError``."""
    whole = _read(message, 0, len(message))
    if whole.tag != SEQUENCE or whole.end != len(message):
        raise ResponseError("not an LDAP message")
    parts = _children(message, whole)
    identity, operation = _next(parts, INTEGER), next(parts, None)
    if operation is None:
        raise ResponseError("a message without an operation")
    body: Result | Entry | Reference
    if operation.tag in (BIND_RESPONSE, SEARCH_DONE, EXTENDED_RESPONSE):
        body = _read_result(message, operation, next(parts, None))
    elif operation.tag == SEARCH_ENTRY:
        body = _read_entry(message, operation)
    elif operation.tag == SEARCH_REFERENCE:
        body = Reference()
    else:
        raise ResponseError(f"a message with the operation 0x{operation.tag:02x}")
    return Response(_integer(message, identity), operation.tag, body)


def read_integers(value: bytes) -> dict[int, int]:
    """The small integers of a control's SEQUENCE by tag, those of an explicit choice too. Raises ``ResponseError``."""
    found: dict[int, int] = {}
    for part in _children(value, _read(value, 0, len(value))):
        inner = next(_children(value, part), None) if part.tag & 0x20 else None
        kept = part if inner is None else inner
        found[part.tag] = _integer(value, kept)
    return found


def _read_result(message: bytes, operation: _Element, last: _Element | None) -> Result:
    parts = _children(message, operation)
    code, _, diagnostic = _next(parts, ENUMERATED), _next(parts, OCTETS), _next(parts, OCTETS)
    text = message[diagnostic.start : min(diagnostic.end, diagnostic.start + MAX_DIAGNOSTIC)]
    controls = _read_controls(message, last) if last is not None and last.tag == CONTROLS else {}
    return Result(_integer(message, code), text.decode(errors="replace"), controls)


def _read_controls(message: bytes, all_controls: _Element) -> dict[str, bytes]:
    controls: dict[str, bytes] = {}
    for number, control in enumerate(_children(message, all_controls)):
        if number >= MAX_VALUES:
            raise ResponseError("too many controls")
        parts = _children(message, control)
        name, value = _next(parts, OCTETS), next(parts, None)
        if value is not None and value.tag == BOOLEAN:
            value = next(parts, None)
        if value is not None and value.tag == OCTETS:
            controls[_text(message, name)] = message[value.start : value.end]
    return controls


def _read_entry(message: bytes, operation: _Element) -> Entry:
    parts = _children(message, operation)
    name, listed = _next(parts, OCTETS), _next(parts, SEQUENCE)
    attributes: dict[str, tuple[bytes, ...]] = {}
    room = MAX_VALUES
    for attribute in _children(message, listed):
        pair = _children(message, attribute)
        kind, values = _next(pair, OCTETS), _next(pair, SET)
        kept = []
        for value in _children(message, values):
            if value.tag != OCTETS:
                raise ResponseError("a value that is no string")
            room -= 1
            if room < 0:
                raise ResponseError(f"an entry with more than {MAX_VALUES} values")
            kept.append(message[value.start : value.end])
        room -= 1
        if room < 0:
            raise ResponseError(f"an entry with more than {MAX_VALUES} attributes")
        attributes[_text(message, kind).lower()] = tuple(kept)
    return Entry(_text(message, name), attributes)


def _read(message: bytes, start: int, end: int) -> _Element:
    """The element at ``start``, which ends at ``end`` or before."""
    if end - start < 2:
        raise ResponseError("an element is cut")
    tag, length = message[start], message[start + 1]
    content = start + 2
    if tag & 0x1F == 0x1F:
        raise ResponseError("a tag of another form")
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= MAX_LENGTH_BYTES or end - content < size:
            raise ResponseError("a length of another form")
        length = int.from_bytes(message[content : content + size], "big")
        content += size
    if length > end - content:
        raise ResponseError("an element is longer than what holds it")
    return _Element(tag, content, content + length)


def _children(message: bytes, parent: _Element) -> Iterator[_Element]:
    place = parent.start
    while place < parent.end:
        child = _read(message, place, parent.end)
        yield child
        place = child.end


def _next(parts: Iterator[_Element], tag: int) -> _Element:
    part = next(parts, None)
    if part is None or part.tag != tag:
        raise ResponseError(f"an element 0x{tag:02x} is missing")
    return part


def _integer(message: bytes, element: _Element) -> int:
    if not 1 <= element.end - element.start <= MAX_LENGTH_BYTES:
        raise ResponseError("a number of another size")
    return int.from_bytes(message[element.start : element.end], "big", signed=True)


def _text(message: bytes, element: _Element) -> str:
    try:
        return message[element.start : element.end].decode()
    except UnicodeDecodeError as error:
        raise ResponseError("text that is not UTF-8") from error
