# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection to an LDAP server, on the event loop: connect, StartTLS, bind, search. One operation at a time.

sansldap writes the requests; ``responses`` reads what comes back. Every fault of the server, a timeout and a cancelled
operation close the connection: a late answer is never taken for the answer to something else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sansldap import DereferencingPolicy, ExtendedOperations, LDAPClient, LDAPControl, SearchScope

from sentry_engine.records import dataclass
from vpn_frontend.auth.ldap.account_state import PASSWORD_POLICY
from vpn_frontend.auth.ldap.responses import (
    BIND_RESPONSE,
    EXTENDED_RESPONSE,
    MAX_MESSAGE,
    SEARCH_DONE,
    SEARCH_ENTRY,
    SEARCH_REFERENCE,
    Entry,
    Reference,
    ResponseError,
    Result,
    message_length,
    parse_response,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from sansldap import LDAPFilter

SUCCESS, SIZE_LIMIT_EXCEEDED, REFERRAL = 0, 4, 10
MAX_RESPONSE = 1024 * 1024  # bytes of one operation's messages
MAX_REFERENCES = 64  # of one search
OPERATION_ID = 1  # an id is free again once its operation has ended (RFC 4511 section 4.1.1.1)


class LdapError(Exception):
    """The server cannot be reached, breaks the protocol, or refuses the service. The text is for the operator."""


@dataclass(frozen=True, slots=True)
class Server:
    """One URL of ``auth.ldap.url``. ``tls``: the context that verifies it; ``None``: plain, on loopback only."""

    url: str
    host: str
    port: int
    tls: ssl.SSLContext | None
    start_tls: bool = False


class LdapConnection(asyncio.Protocol):
    """Made by ``connect``. ``close`` it. ``identity`` is the DN that it is bound as; ``None``: to be bound first."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._arrived = asyncio.Event()
        self._operating = False
        self._failure: LdapError | None = None
        self.identity: str | None = None
        self.idle_since = 0.0

    @classmethod
    async def connect(cls, server: Server, address: str) -> LdapConnection:
        """Connect to ``address``, and verify the certificate for the host of the URL. Raises ``LdapError``."""
        loop = asyncio.get_running_loop()
        connection = None
        immediate = server.tls if not server.start_tls else None
        try:
            _, connection = await loop.create_connection(
                cls, address, server.port, ssl=immediate, server_hostname=server.host if immediate else None
            )
            if server.tls is not None and server.start_tls:
                await connection.start_tls(server.tls, server.host)
        except OSError as error:  # ssl.SSLError is one
            if connection is not None:
                connection.close()
            raise LdapError(f"{server.url}: {error.strerror or error}") from error
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        return connection

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing() or self._failure is not None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def bind(self, dn: str, password: str) -> Result:
        """A simple bind. An empty ``password`` is taken for an anonymous bind only with an empty ``dn``.

        A server answers a name without a password with success (RFC 4513 section 5.1.2), so that raises ``ValueError``.
        """
        if bool(dn) is not bool(password):
            raise ValueError("a bind without a name or without a password proves nothing")
        self.identity = None
        client = LDAPClient()
        client.bind_simple(dn, password, [LDAPControl(PASSWORD_POLICY, critical=False, value=None)])
        return (await self._run(client, BIND_RESPONSE))[1]

    async def search(
        self,
        base: str,
        wanted: LDAPFilter,
        attributes: Sequence[str],
        *,
        limit: int,
        scope: SearchScope = SearchScope.SUBTREE,
    ) -> list[Entry]:
        """At most ``limit`` entries of those below ``base``. Aliases and referrals are not followed."""
        client = LDAPClient()
        client.search_request(
            base, scope, DereferencingPolicy.NEVER, limit, 0, filter=wanted, attributes=list(attributes) or ["1.1"]
        )
        entries, result = await self._run(client, SEARCH_DONE, limit=limit)
        if result.code not in (SUCCESS, SIZE_LIMIT_EXCEEDED, REFERRAL):
            raise LdapError(f"a search in {base!r} ends with result {result.code}")
        return entries

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Go on in TLS, verified by ``context`` for ``host``. Raises ``LdapError`` and ``OSError``."""
        client = LDAPClient()
        client.extended_request(ExtendedOperations.LDAP_START_TLS.value)
        _, result = await self._run(client, EXTENDED_RESPONSE, last=True)
        if result.code != SUCCESS or self._transport is None:
            raise LdapError(f"the server refuses StartTLS (result {result.code})")
        if self._received:
            raise LdapError("the server sent more in plain text than its answer to StartTLS")
        loop = asyncio.get_running_loop()
        self._transport = await loop.start_tls(self._transport, self, context, server_hostname=host)

    async def _run(
        self, client: LDAPClient, end: int, *, limit: int = 0, last: bool = False
    ) -> tuple[list[Entry], Result]:
        """Send the request of ``client`` and read until the response ``end``. Any failure closes the connection."""
        if self._transport is None or self.closed or self._operating:
            raise self._failure or LdapError("the connection is closed")
        self._operating = True
        try:
            self._transport.write(client.data_to_send())
            return await self._read_responses(end, limit, last=last)
        except ResponseError as error:
            self.close()
            raise LdapError(f"the server breaks the protocol: {error}") from error
        except BaseException:
            self.close()
            raise
        finally:
            self._operating = False

    async def _read_responses(self, end: int, limit: int, *, last: bool) -> tuple[list[Entry], Result]:
        entries: list[Entry] = []
        room, references = MAX_RESPONSE, 0
        while True:
            message = await self._next_message()
            room -= len(message)
            if room < 0:
                raise ResponseError(f"more than {MAX_RESPONSE} bytes for one operation")
            if last and self._transport is not None:
                self._transport.pause_reading()  # what follows is for TLS
            message_id, operation, body = parse_response(message)
            if message_id != OPERATION_ID:
                raise ResponseError("an answer to no request")
            if operation == end and isinstance(body, Result):
                return entries, body
            if operation == SEARCH_ENTRY and isinstance(body, Entry) and len(entries) < limit:
                entries.append(body)
            elif operation == SEARCH_REFERENCE and isinstance(body, Reference) and references < MAX_REFERENCES:
                references += 1
            else:
                raise ResponseError("a response that was not asked for, or more entries than asked for")

    async def _next_message(self) -> bytes:
        while True:
            length = message_length(self._received)
            if length is not None and len(self._received) >= length:
                message = bytes(self._received[:length])
                del self._received[:length]
                self._read_on()
                return message
            if self._failure is not None:
                raise self._failure
            self._arrived.clear()
            await self._arrived.wait()

    def _read_on(self) -> None:
        if self._transport is not None and len(self._received) < MAX_MESSAGE and not self._transport.is_closing():
            self._transport.resume_reading()

    # Of asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._operating:  # a notice of disconnection, or what nobody asked for
            self._fail(LdapError("the server sent what it was not asked for"))
            return
        self._received += data
        if len(self._received) > MAX_MESSAGE and self._transport is not None:
            self._transport.pause_reading()
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(LdapError(f"the connection was lost{f': {exc}' if exc else ''}"))

    def _fail(self, error: LdapError) -> None:
        self._failure = self._failure or error
        self.close()
        self._arrived.set()
