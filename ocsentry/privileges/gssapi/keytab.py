# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a keytab into the memory of this process, through libkrb5.

The GSSAPI opens a keytab by its name at each ticket. A file would have to stay readable for the unprivileged user; the
entries of ``MEMORY:`` are read once, with the rights of the start.
"""

from __future__ import annotations

import ctypes
from importlib.util import find_spec

from ocsentry.errors import OperatorError
from sentry_engine.records import dataclass

NAME = "MEMORY:ocsentry"
LIBRARY = "libkrb5.so.3"
KT_END = -1765328202  # KRB5_KT_END of krb5.h
ENTRY_SIZE = 256  # bytes; a krb5_keytab_entry has 48


def find_package_problem() -> str | None:
    """Why the package that reads tickets cannot be used, for the operator. ``None``: it is installed."""
    if find_spec("gssapi") is not None:
        return None
    return "auth.methods: gssapi needs the package gssapi (requirements/gssapi.lock; libkrb5-dev to build it)"


class KeytabError(OperatorError):
    """The keytab has no key that can be used."""


class _Entry(ctypes.Structure):
    """The beginning of ``krb5_keytab_entry``."""

    _fields_ = (("magic", ctypes.c_int32), ("principal", ctypes.c_void_p), ("rest", ctypes.c_char * ENTRY_SIZE))


@dataclass(frozen=True, slots=True)
class Keytab:
    """``principals`` whose keys were read, as ``HTTP/vpn.example.org@EXAMPLE.ORG``."""

    principals: tuple[str, ...]


def load_keytab(path: str, service: str) -> Keytab:
    """Copy the keys of ``service`` to ``NAME``. Raises ``KeytabError``."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise KeytabError(f"auth.methods: gssapi needs {LIBRARY} (Debian: libkrb5-3): {error}") from error
    library.krb5_get_error_message.restype = ctypes.c_void_p
    library.krb5_get_error_message.argtypes = (ctypes.c_void_p, ctypes.c_int32)
    return _Reader(library, path).copy(service)


class _Reader:
    def __init__(self, library: ctypes.CDLL, path: str) -> None:
        self._library = library
        self._path = path
        self._context = ctypes.c_void_p()
        self._source, self._memory = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("krb5_init_context", ctypes.byref(self._context), bare=True)

    def copy(self, service: str) -> Keytab:
        """Also the end of the reader. The keys stay: they belong to no context, but to the process."""
        try:
            self._call("krb5_kt_resolve", f"FILE:{self._path}".encode(), ctypes.byref(self._source))
            self._call("krb5_kt_resolve", NAME.encode(), ctypes.byref(self._memory))  # its end would be the keys' end
            try:
                principals = self._copy_entries(service)
            except KeytabError:
                self._library.krb5_kt_close(self._context, self._memory)
                raise
            finally:
                self._library.krb5_kt_close(self._context, self._source)
        finally:
            self._library.krb5_free_context(self._context)
        return Keytab(principals)

    def _copy_entries(self, service: str) -> tuple[str, ...]:
        cursor, principals = ctypes.c_void_p(), dict[str, None]()
        self._call("krb5_kt_start_seq_get", self._source, ctypes.byref(cursor))
        try:
            while (entry := self._next(cursor)) is not None:
                try:
                    name = self._name(entry)
                    if name.startswith(f"{service}/"):
                        self._call("krb5_kt_add_entry", self._memory, ctypes.byref(entry))
                        principals[name] = None
                finally:
                    self._library.krb5_free_keytab_entry_contents(self._context, ctypes.byref(entry))
        finally:
            self._library.krb5_kt_end_seq_get(self._context, self._source, ctypes.byref(cursor))
        if not principals:
            raise KeytabError(f"auth.gssapi.keytab: {self._path} has no key of {service}/HOST (see klist -k)")
        return tuple(principals)

    def _next(self, cursor: ctypes.c_void_p) -> _Entry | None:
        entry = _Entry()
        code = self._library.krb5_kt_next_entry(self._context, self._source, ctypes.byref(entry), ctypes.byref(cursor))
        if code == KT_END:
            return None
        self._check(code)
        return entry

    def _name(self, entry: _Entry) -> str:
        text = ctypes.c_char_p()
        self._call("krb5_unparse_name", ctypes.c_void_p(entry.principal), ctypes.byref(text))
        name = (text.value or b"").decode(errors="replace")
        self._library.krb5_free_unparsed_name(self._context, text)
        return name

    def _call(self, function: str, *arguments: object, bare: bool = False) -> None:
        self._check(getattr(self._library, function)(*(() if bare else (self._context,)), *arguments))

    def _check(self, code: int) -> None:
        if code:
            message = self._library.krb5_get_error_message(self._context, code)
            text = ctypes.string_at(message).decode(errors="replace") if message else f"error {code}"
            raise KeytabError(f"auth.gssapi.keytab: {self._path} cannot be read: {text}")
