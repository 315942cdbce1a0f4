# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges tokens with the PyPI package ``gssapi``. Runs without privileges, in the GSSAPI helper.

It gets ``{"id", "token"}``, with ``"context"`` from the second token of a login on, and answers
``{"id", "principal", "realm", "token"}``, ``{"id", "context", "token"}`` or ``{"id", "reason"}``. Tokens are base64.
"""

from __future__ import annotations

import base64
import sys
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import gssapi

from ocsentry.privileges.gssapi.keytab import NAME
from ocsentry.privileges.helper.protocol import receive_message, send_message
from vpn_frontend.auth.gssapi.refusals import BAD_TOKEN, NO_KEY, TOO_OLD

if TYPE_CHECKING:
    import socket

    from ocsentry.privileges.helper.protocol import Document

THREADS = 4
MAX_CONTEXTS = 1024  # of logins between two tokens; the oldest is forgotten
CONTEXT_LIFETIME = 120.0  # seconds
KRB5 = gssapi.OID.from_int_seq("1.2.840.113554.1.2.2")
AUTHTIME = gssapi.OID.from_int_seq("1.2.840.113554.1.2.2.5.12")  # of libkrb5: a krb5_timestamp of the ticket
TIMESTAMP_SIZE = 4  # bytes
SPNEGO = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
# By texts of libkrb5: SPNEGO numbers the codes of its mechanisms in the sequence that it sees them.
REASONS = {
    "Clock skew too great": "clock_skew",
    "Ticket expired": "ticket_expired",
    "Ticket not yet valid": "ticket_not_yet_valid",
    "Request is a replay": "replay",
    "Wrong principal in request": "wrong_server",
    "keytab": NO_KEY,  # "Cannot find key for HTTP/... kvno 3 in keytab", and others
    "key table": NO_KEY,
}
_contexts: Any = gssapi.SecurityContext
_contexts.__DEFER_STEP_ERRORS__ = False  # otherwise an error with a token for the peer looks like a step


class Contexts:
    """Contexts between two tokens of a login. Several threads use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, tuple[gssapi.SecurityContext, float]] = OrderedDict()
        self._last = 0

    def keep(self, context: gssapi.SecurityContext, now: float) -> int:
        with self._lock:
            while self._kept and (
                len(self._kept) >= MAX_CONTEXTS or now - next(iter(self._kept.values()))[1] >= CONTEXT_LIFETIME
            ):
                self._kept.popitem(last=False)
            self._last += 1
            self._kept[self._last] = context, now
            return self._last

    def take(self, number: object, now: float) -> gssapi.SecurityContext | None:
        """``None``: there is none, or it is too old."""
        with self._lock:
            found = self._kept.pop(number, None) if isinstance(number, int) else None
        return None if found is None or now - found[1] >= CONTEXT_LIFETIME else found[0]


class Worker:
    """Requires a loaded keytab."""

    def __init__(self, link: socket.socket, max_age: int) -> None:
        """``max_age``: seconds since the user's proof at the KDC; 0: no limit."""
        self._link = link
        self._max_age = max_age
        self._contexts = Contexts()
        # Of the package's types: a store's keytab, and SPNEGO that agrees on Kerberos alone.
        self._credentials: Any = gssapi.Credentials(usage="accept", store={"keytab": NAME}, mechs=[KRB5, SPNEGO])

    def run(self) -> None:
        """Serve until the server is gone. The server bounds the requests that wait."""
        with ThreadPoolExecutor(THREADS, "gssapi") as pool:
            while (received := receive_message(self._link)) is not None:
                pool.submit(self._answer, received[0])

    def _answer(self, request: Document) -> None:
        answer = self._judge(request)
        send_message(self._link, {"id": request.get("id"), **answer})

    def _judge(self, request: Document) -> Document:
        now = time.monotonic()
        context = self._contexts.take(request["context"], now) if "context" in request else self._new_context()
        if context is None:
            return {"reason": BAD_TOKEN}
        try:
            token = context.step(base64.b64decode(str(request.get("token", "")))) or b""
            if not context.complete:
                return {"context": self._contexts.keep(context, now), "token": base64.b64encode(token).decode()}
            if context.mech != KRB5:
                return {"reason": BAD_TOKEN}
            if self._max_age and time.time() > authenticated_at(context) + self._max_age:
                return {"reason": TOO_OLD}
            principal, server = str(context.initiator_name), str(context.target_name)
        except Exception as error:  # noqa: BLE001 - of the library, for bytes of a client
            return {"reason": reason_of(error)}
        realm = server.rpartition("@")[2]
        return {"principal": principal, "realm": realm, "token": base64.b64encode(token).decode()}

    def _new_context(self) -> gssapi.SecurityContext:
        return gssapi.SecurityContext(creds=self._credentials, usage="accept")


def authenticated_at(context: gssapi.SecurityContext) -> int:
    """Unix time of the ticket's authtime (RFC 4120, section 5.3). A renewal leaves it. Raises ``ValueError``."""
    (value,) = gssapi.raw.inquire_sec_context_by_oid(context, AUTHTIME)
    if len(value) != TIMESTAMP_SIZE:
        raise ValueError(f"an authtime of {len(value)} bytes")
    return int.from_bytes(value, sys.byteorder)  # 32 bits; unsigned until 2106, as libkrb5 reads it


def reason_of(error: Exception) -> str:
    """A key of ``REFUSALS``."""
    text = str(error)
    return next((reason for words, reason in REASONS.items() if words in text), BAD_TOKEN)
