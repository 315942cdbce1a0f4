# SPDX-License-Identifier: GPL-3.0-or-later
"""libpam through ctypes, as far as logins and sessions need it.

A login: start, authenticate, account, change of the password, end. A session: start, open or close, end.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SUCCESS, SYSTEM_ERR, CONV_ERR, NEW_AUTHTOK_REQD = 0, 4, 19, 12  # _pam_types.h of Linux-PAM
ECHO_OFF, ECHO_ON, ERROR_MSG, TEXT_INFO = 1, 2, 3, 4
ITEM_USER, ITEM_TTY, ITEM_RHOST = 2, 3, 4
DISALLOW_NULL_AUTHTOK, CHANGE_EXPIRED_AUTHTOK, SILENT = 0x1, 0x20, 0x8000
MAX_BATCH = 32  # PAM_MAX_NUM_MSG
TTY = "vpn"  # pam_access and pam_time match it


@dataclass(frozen=True, slots=True)
class Message:
    """One ``struct pam_message``."""

    style: int
    text: bytes


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_Messages = ctypes.POINTER(ctypes.POINTER(_Message))
_Responses = ctypes.POINTER(ctypes.c_void_p)
_Function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, _Messages, _Responses, ctypes.c_void_p)


class _Conversation(ctypes.Structure):
    _fields_ = (("function", _Function), ("data", ctypes.c_void_p))


class LibPam:
    """The functions of the library, found as a linked program finds them: a preloaded library that wraps PAM counts."""

    def __init__(self) -> None:
        """Raises ``OSError`` where libpam is not installed."""
        ctypes.CDLL("libpam.so.0", ctypes.RTLD_GLOBAL)
        library = ctypes.CDLL(None)
        handle, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
        self.start = library.pam_start
        self.start.argtypes = (text, text, ctypes.POINTER(_Conversation), ctypes.POINTER(handle))
        self.end, self.authenticate = library.pam_end, library.pam_authenticate
        self.check_account, self.change_token = library.pam_acct_mgmt, library.pam_chauthtok
        self.open_session, self.close_session = library.pam_open_session, library.pam_close_session
        changes = (self.open_session, self.close_session)
        for function in (self.end, self.authenticate, self.check_account, self.change_token, *changes):
            function.argtypes, function.restype = (handle, number), number
        self.set_item, self.get_item = library.pam_set_item, library.pam_get_item
        self.set_item.argtypes = (handle, number, ctypes.c_void_p)
        self.get_item.argtypes = (handle, number, ctypes.POINTER(ctypes.c_void_p))
        self.put_variable = library.pam_putenv
        self.put_variable.argtypes = (handle, text)
        self.calloc, self.strdup = library.calloc, library.strdup
        self.calloc.argtypes, self.calloc.restype = (ctypes.c_size_t, ctypes.c_size_t), ctypes.c_void_p
        self.strdup.argtypes, self.strdup.restype = (text,), ctypes.c_void_p


class PamHandle:
    """One PAM handle. ``ask`` gets a batch of messages and returns an answer for each; ``None``: the login is over."""

    def __init__(self, library: LibPam, ask: Callable[[Sequence[Message]], Sequence[bytes] | None]) -> None:
        self._library = library
        self._ask = ask
        self._function = _Function(self._converse)  # libpam keeps a pointer to it
        self._handle = ctypes.c_void_p()

    def open(self, service: str, user: str, address: str) -> int:
        """``pam_start``, and the items that modules read, ``address`` if it is known. Returns PAM's code."""
        conversation = _Conversation(self._function, None)
        code = self._library.start(service.encode(), user.encode(), conversation, self._handle)
        for item, text in ((ITEM_RHOST, address), (ITEM_TTY, TTY)):
            if code == SUCCESS and text:
                code = self._library.set_item(self._handle, item, ctypes.c_char_p(text.encode()))
        return int(code)

    def authenticate(self) -> int:
        return int(self._library.authenticate(self._handle, DISALLOW_NULL_AUTHTOK))

    def check_account(self) -> int:
        return int(self._library.check_account(self._handle, DISALLOW_NULL_AUTHTOK))

    def change_expired_token(self) -> int:
        return int(self._library.change_token(self._handle, CHANGE_EXPIRED_AUTHTOK))

    def set_variable(self, name: str, value: str) -> int:
        """Put a variable into PAM's environment, which modules such as pam_exec pass on."""
        return int(self._library.put_variable(self._handle, f"{name}={value}".encode()))

    def open_session(self) -> int:
        return int(self._library.open_session(self._handle, SILENT))

    def close_session(self) -> int:
        return int(self._library.close_session(self._handle, SILENT))

    def user(self) -> str:
        """The name as the modules left it; empty: none. Raises ``UnicodeDecodeError``."""
        found = ctypes.c_void_p()
        if self._library.get_item(self._handle, ITEM_USER, found) != SUCCESS or not found.value:
            return ""
        return ctypes.string_at(found.value).decode()  # a copy: pam_end frees it

    def close(self, code: int) -> None:
        if self._handle:
            self._library.end(self._handle, code)
            self._handle = ctypes.c_void_p()

    def _converse(self, count: int, messages: Any, responses: Any, _: object) -> int:  # noqa: ANN401 - pointers
        """Called by modules. Every failure is ``CONV_ERR``: an exception must not pass through C."""
        try:
            if not 1 <= count <= MAX_BATCH:
                return CONV_ERR
            batch = [Message(messages[n].contents.style, messages[n].contents.text or b"") for n in range(count)]
            answers = self._ask(batch)
            if answers is None or len(answers) != count:
                return CONV_ERR
            if responses:  # absent where a batch has no prompt (pam_matrix)
                responses[0] = self._allocate(answers)
        except Exception:  # noqa: BLE001 - of the peer, or of memory
            return CONV_ERR
        return SUCCESS

    def _allocate(self, answers: Sequence[bytes]) -> int:
        """The array of answers in memory of the C library. Ownership passes to libpam and the module."""
        array = self._library.calloc(len(answers), ctypes.sizeof(_Response))
        if not array:
            raise MemoryError
        for number, answer in enumerate(answers):
            response = _Response.from_address(array + number * ctypes.sizeof(_Response))
            response.text = self._library.strdup(answer)
        return int(array)
