# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a client posts during a login: ``config-auth`` documents, and urlencoded forms of clients without XML.

Clients do not write good XML. Clavister's prolog (``<?xml version: "1.0"``) is refused by every parser, and most
clients send no Content-Type. So the prolog is cut off unread, the encoding is UTF-8, and a body that begins with ``<``
is a document. A document type declaration, and with it every entity, is refused. Depth, number of elements and sizes
are bounded.
"""

from __future__ import annotations

import re
from dataclasses import field
from itertools import islice
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl
from xml.parsers import expat

from sentry_engine.records import dataclass
from vpn_frontend.ports import NO_DEVICE, Device
from vpn_frontend.protocol.constants import MAX_FIELDS, MAX_NAME, MAX_SECRET
from vpn_frontend.protocol.login_form import GROUP, USERNAME

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH = 12  # elements inside each other; real documents use 4
MAX_ELEMENTS = 400  # per document; a client with many network cards sends about 40
MAX_TEXT = 512  # characters of every other value that is kept
MAX_PROLOG = 256  # bytes
MAX_INITS = 128  # documents that are kept with their message
MAX_INIT = 2048  # bytes of such a document; openconnect 9.01 sends 400
MAX_FRAMES = 256  # that are kept
MAX_FRAME = 2048  # bytes of one; openconnect 9.01 sends 300
MAX_SEEN = 4096  # hashes
MAX_PLAIN_FIELDS = 8
JOINED_ATTRIBUTES = re.compile(rb"""(="[^"<>]*")(?=[A-Za-z])""")
MAX_AUTH_METHODS = 16  # words of a client's capabilities; openconnect 9.21 sends 4
MAX_AUTH_METHOD = 64  # characters of one


class MessageError(Exception):
    """The body is not what a client may send. The text says why, for the log."""


class IllFormedError(MessageError):
    """A document that no parser takes."""


@dataclass(slots=True)  # not frozen: one is made per request, and frozen fields are slow to set
class ClientMessage:
    """One message of the login, never changed: equal documents share one.

    ``kind``: ``init``, ``auth-reply``, ``logout``, or another word of the client.

    ``username`` and ``password`` are ``None`` where the client sent none, which is not the same as an empty one.
    ``fields`` are all submitted fields by the client's names, at most ``MAX_FIELDS`` of ``MAX_SECRET`` characters.
    Larger ones are dropped. Their values may hold control characters.
    """

    kind: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    group: str = ""
    session_token: str = ""
    device: Device = NO_DEVICE
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth_methods: frozenset[str] = frozenset()  # of the capabilities in an init
    certificate_failed: bool = False  # an init of a client that has no usable certificate


_inits: dict[bytes, ClientMessage] = {}  # by document: clients of one kind begin with the same one, without a secret
_frames: dict[bytes, _Reader] = {}  # what is around the fields of replies, without a secret
_seen: dict[int, bool] = {}  # whether frames that came are unfit, by hash
_AUTH, _AUTH_END = b"<auth>", b"</auth>"
_PROBE, _PROBED = b"<probe>1</probe>", {"probe": "1"}
_PLAIN_FIELD = re.compile(r"<([a-z_][a-z0-9_]*)>([ !-%'-;=?-~]*)</\1>")  # of a text that stands for itself
# Elements of a frame that may be kept. Others may be secrets, as are tokens that are not empty.
_KEPT_TEXTS = frozenset(
    {"auth", "capabilities", "client-cert-fail", "device-id", "group-access", "group-select", "version"}
)
_EMPTY_TEXTS = frozenset({"session-id", "session-token"})


def parse_message(body: bytes, content_type: str, *, any_form: bool = False) -> ClientMessage:
    """Read the body of a POST to a login path. Raises ``MessageError``.

    ``any_form``: a form without a known field is an init, since a token in the request's head says all.
    """
    document = body.lstrip(b"\xef\xbb\xbf \t\r\n")
    if document.startswith(b"<"):
        return _inits.get(document) or _read_framed(document) or _parse_document(document)
    if not document:
        return ClientMessage("init")
    return _parse_form(document, content_type, any_form=any_form)


def _parse_form(body: bytes, content_type: str, *, any_form: bool) -> ClientMessage:
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise MessageError(f"a body of type {kind[:40]!r}")
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise MessageError(f"not an urlencoded form: {error}") from error
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    username, password = fields.get(USERNAME), _first_password(fields)
    if username is None and password is None and GROUP not in fields and not any_form:
        raise MessageError("a form without a known field")
    return ClientMessage(
        kind="init" if username is None and password is None else "auth-reply",
        username=None if username is None else _checked("username", username, MAX_NAME),
        password=None if password is None else _checked("password", password, MAX_SECRET, controls=True),
        group=_checked("group", fields.get(GROUP, ""), MAX_NAME),
        fields=_bounded(fields),
    )


def _read_framed(document: bytes) -> ClientMessage | None:
    """The message of a document whose frame is known: all but what stands in ``<auth>``.

    A client sends the same frame with each of its replies, so one that comes again is read once, with a probe in its
    ``<auth>``. Where the parser finds the probe it would find other plain fields too. ``None``: the frame is new or
    unfit, or the fields are not plain.
    """
    begin, end = document.find(_AUTH) + len(_AUTH), document.rfind(_AUTH_END)
    if begin < len(_AUTH) or not begin < end < begin + MAX_FRAME:
        return None
    try:
        content = document[begin:end].decode("ascii")
    except UnicodeDecodeError:
        return None
    pairs = _PLAIN_FIELD.findall(content)
    fields = dict(pairs)
    if len(fields) != len(pairs) or len(pairs) > MAX_PLAIN_FIELDS:
        return None
    if sum([2 * len(name) + len(value) for name, value in pairs]) + 5 * len(pairs) != len(content):
        return None  # something stands between them
    frame = document[:begin] + document[end:]
    reader = _frames.get(frame) or _learn_frame(frame, begin)
    return None if reader is None else _as_message(reader, fields)


def _learn_frame(frame: bytes, begin: int) -> _Reader | None:
    """What the parser reads in ``frame``. ``None``: it came for the first time, or is unfit."""
    if len(frame) > MAX_FRAME:
        return None
    digest = hash(frame)
    unfit = _seen.get(digest)
    if unfit is None:
        if len(_seen) >= MAX_SEEN:
            _seen.clear()
        _seen[digest] = False
    if unfit is not False:
        return None
    try:
        reader = _Reader().read(_without_prolog(frame[:begin] + _PROBE + frame[begin:]))
    except MessageError:
        reader = None
    if reader is None or not reader.is_fit_frame:
        _seen[digest] = True
        return None
    if len(_frames) >= MAX_FRAMES:
        _frames.clear()
    _frames[frame] = reader
    return reader


def _as_message(reader: _Reader, fields: dict[str, str]) -> ClientMessage:
    username, password = fields.get(USERNAME), _first_password(fields)
    return ClientMessage(
        kind=_checked("type", reader.root.get("type", ""), 32),
        username=None if username is None else _checked("username", username, MAX_NAME),
        password=None if password is None else _checked("password", password, MAX_SECRET, controls=True),
        group=_checked("group", reader.texts.get("group-select", fields.get(GROUP, "")), MAX_NAME),
        session_token=_checked("session-token", reader.texts.get("session-token", ""), MAX_TEXT),
        device=_read_device(reader),
        fields=_bounded(fields),
        auth_methods=frozenset(reader.auth_methods),
        certificate_failed="client-cert-fail" in reader.texts,
    )


def _parse_document(document: bytes) -> ClientMessage:
    reader = _read(_without_prolog(document))
    message = _as_message(reader, reader.fields)
    if message.kind == "init" and not reader.fields and not message.session_token and len(document) <= MAX_INIT:
        if len(_inits) >= MAX_INITS:
            _inits.clear()
        _inits[document] = message
    return message


def _read(document: bytes) -> _Reader:
    """Clients' attributes may follow each other without a blank; parsers refuse that. Raises ``MessageError``."""
    try:
        return _Reader().read(document)
    except IllFormedError:
        apart = JOINED_ATTRIBUTES.sub(rb"\1 ", document)
        if apart == document:
            raise
        return _Reader().read(apart)


def _read_device(reader: _Reader) -> Device:
    attributes = reader.device
    if not attributes:
        return Device(platform=_cleaned(reader.texts.get("device-id", "")))
    return Device(
        name=_cleaned(attributes.get("computer-name", "")),
        platform=_cleaned(reader.texts.get("device-id", "")),
        platform_version=_cleaned(attributes.get("platform-version", "")),
        kind=_cleaned(attributes.get("device-type", "")),
        unique_id=_cleaned(attributes.get("unique-id-global", "") or attributes.get("unique-id", "")),
    )


def _first_password(fields: Mapping[str, str]) -> str | None:
    """The first field with a name that clients use for it: ``password1``, ``secondary_password``, ``answer``…"""
    for name, value in fields.items():
        if name.startswith("password") or name.endswith("_password") or name in ("answer", "whichpin"):
            return value
    return None


def _bounded(fields: dict[str, str]) -> dict[str, str]:
    """The fields within the bounds, at most ``MAX_FIELDS``."""
    if len(fields) <= MAX_FIELDS and len(max(fields.values(), key=len, default="")) <= MAX_SECRET:
        return fields
    return dict(islice(((name, value) for name, value in fields.items() if len(value) <= MAX_SECRET), MAX_FIELDS))


def _without_prolog(document: bytes) -> bytes:
    if not document.startswith(b"<?"):
        return document
    end = document.find(b"<", 2, MAX_PROLOG)  # old clients send ill-formed ones, not all of which end in "?>"
    if end < 0:
        raise MessageError("a prolog without an end")
    return document[end:]


def _checked(what: str, text: str, limit: int, *, controls: bool = False) -> str:
    """``text`` without surrounding blanks. ``controls``: keep blanks and control characters, as passwords do.

    Raises ``MessageError`` if it is too long or has control characters.
    """
    if not text:
        return text
    text = text if controls else text.strip()
    if len(text) > limit:
        raise MessageError(f"{what} of {len(text)} characters (at most {limit})")
    if not controls and not text.isprintable():
        raise MessageError(f"{what} with control characters")
    return text


def _cleaned(text: str) -> str:
    """``text`` cut and made printable; for values that are only shown."""
    text = text.strip()[:MAX_TEXT]
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)


class _Reader:
    """Collects what is needed of one document: attributes of the root and the device, and texts by element name."""

    def __init__(self) -> None:
        self.root: dict[str, str] = {}
        self.device: dict[str, str] = {}
        self.fields: dict[str, str] = {}  # children of <auth>
        self.texts: dict[str, str] = {}  # children of the root
        self.auth_methods: set[str] = set()  # children of <capabilities>
        self._path: list[str] = []
        self._elements = 0
        self._pieces: list[str] = []

    def read(self, document: bytes) -> Self:
        """Parse the whole document. Raises ``MessageError``."""
        parser = expat.ParserCreate(encoding="UTF-8")
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._pieces.append
        try:
            parser.Parse(document, True)
        except expat.ExpatError as error:
            raise IllFormedError(f"not XML: {expat.errors.messages.get(error.code, 'error')}") from error
        return self

    @property
    def is_fit_frame(self) -> bool:
        """True if the probe is its only field, others fit in, and nothing in it is a secret."""
        if self.fields != _PROBED or self._elements + MAX_PLAIN_FIELDS > MAX_ELEMENTS:
            return False
        return all(name in _KEPT_TEXTS or (name in _EMPTY_TEXTS and not text) for name, text in self.texts.items())

    def _refuse_doctype(self, *_declaration: object) -> None:
        raise MessageError("a document type declaration")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        depth = len(self._path)
        self._elements += 1
        if self._elements > MAX_ELEMENTS or depth >= MAX_DEPTH:
            raise MessageError("a document too large or too deep")
        if depth == 1:
            if name == "device-id":
                self.device = attributes
        elif depth == 0:
            if name != "config-auth":
                raise MessageError("a document other than config-auth")
            self.root = attributes
        self._path.append(name)
        self._pieces.clear()

    def _end(self, name: str) -> None:
        path = self._path
        path.pop()
        depth = len(path)
        if depth == 1:
            self.texts.setdefault(name, "".join(self._pieces))
        elif depth == 2:
            if path[1] == "auth":
                self.fields.setdefault(name, "".join(self._pieces))
            elif name == "auth-method" and path[1] == "capabilities":
                self._note_auth_method("".join(self._pieces))
        self._pieces.clear()

    def _note_auth_method(self, word: str) -> None:
        if len(self.auth_methods) < MAX_AUTH_METHODS and len(word) <= MAX_AUTH_METHOD:
            self.auth_methods.add(word)
