# SPDX-License-Identifier: GPL-3.0-or-later
"""An LDAP server of the test's own, which answers each request with the bytes that it is told."""

import asyncio
from contextlib import asynccontextmanager

from sansldap import (
    BindRequest,
    ExtendedRequest,
    LDAPError,
    LDAPResultCode,
    LDAPServer,
    PartialAttribute,
    SearchRequest,
    UnbindRequest,
)

from vpn_frontend.auth.ldap.connection import Server


class Script:
    """How one server behaves. A reply is bytes, ``None`` (none comes), or ``"close"``."""

    def __init__(self, *, bind=LDAPResultCode.SUCCESS, search=None, extended=None, greeting=b"", user_bind=None):
        self.bind, self.search, self.extended, self.greeting = bind, search, extended, greeting
        self.user_bind = user_bind  # (code, diagnostic) for binds with a name
        self.slow = {}  # seconds before the answer to a bind, by its name
        self.connections = 0
        self.requests = []
        self.asked = asyncio.Event()

    async def serve(self, reader, writer):
        self.connections += 1
        session = LDAPServer()
        writer.write(self.greeting)
        try:
            while data := await reader.read(65536):
                for request in session.receive(data):
                    self.requests.append(request)
                    self.asked.set()
                    await asyncio.sleep(self.slow.get(getattr(request, "name", ""), 0))
                    reply = self.reply(session, request)
                    if reply is None:
                        continue
                    if reply == "close":
                        return
                    writer.write(reply)
                    await writer.drain()
        except (OSError, LDAPError):  # the client closed, or sent an unbind
            pass
        finally:
            writer.close()

    def reply(self, session, request):
        match request:
            case BindRequest() if self.user_bind is not None and request.name:
                code, diagnostic = self.user_bind
                session.bind_response(request.message_id, result_code=code, diagnostics_message=diagnostic)
            case BindRequest():
                if not isinstance(self.bind, LDAPResultCode):
                    return self.bind
                session.bind_response(request.message_id, result_code=self.bind)
            case SearchRequest():
                if not callable(self.search):
                    return self.search
                self.search(session, request)
            case ExtendedRequest():
                return self.extended
            case UnbindRequest():
                return "close"
        return session.data_to_send()


def entry(dn="uid=alice,dc=example", count=1, **attributes):
    """A search that returns ``count`` such entries."""

    def answer(session, request):
        parts = [PartialAttribute(name, list(values)) for name, values in attributes.items()]
        for _ in range(count):
            session.search_result_entry(request.message_id, dn, parts)
        session.search_result_done(request.message_id)

    return answer


@asynccontextmanager
async def listening(script):
    """The ``Server`` value of a server that follows ``script``."""
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Server(f"ldap://127.0.0.1:{port}", "127.0.0.1", port, None)
    finally:
        server.close()
