# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes messages of the other nodes: one connection carries them one after another.

A connection without a certificate of the fleet ends with its handshake. All that comes before that, and each message,
has a deadline and a bound.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import TYPE_CHECKING

import h11
from pydantic import ValidationError

from admin_api.connections.places import Places
from admin_api.connections.tcp_listener import source_of
from admin_api.fleet.peers.identity import node_of
from admin_api.fleet.peers.messages import Gate, Message, Refusal, Reply

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from admin_api.fleet.peers.directory import PeerDirectory
    from admin_api.fleet.peers.refusals import Refusals

PATH = b"/v1/message"
MAX_CONNECTIONS = 2048  # of a thousand nodes
SHARE = 64  # of one address, which may be that of several nodes
BACKLOG = 128
HANDSHAKE_TIME = 5.0  # seconds
MESSAGE_TIME = 5.0  # seconds from its first byte to its last
IDLE_TIME = 120.0  # seconds until a connection without messages ends
WORK_TIME = 4.0  # seconds for an answer: no node waits for longer
MAX_BODY = 64 * 1024  # bytes
ACCEPT_PAUSE = 1.0  # seconds without accepting after a failure, such as too many open files


class PeerListener:
    """Listens on ``listener``, which it owns, from ``start`` to ``stop``."""

    def __init__(
        self,
        listener: socket.socket,
        tls: ssl.SSLContext,
        directory: PeerDirectory,
        refusals: Refusals,
        carry_out: Callable[[Message], Awaitable[bool]],
    ) -> None:
        """``carry_out`` returns whether the session is closed here."""
        self._listener, self._tls, self._directory, self._refusals = listener, tls, directory, refusals
        self._carry_out = carry_out
        self._gate = Gate()
        self._places = Places(MAX_CONNECTIONS, SHARE)
        self._accepting: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        host, port, *_ = self._listener.getsockname()
        return host, port

    def start(self) -> None:
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)
        self._accepting = asyncio.create_task(self._accept(), name="peers: accept")

    async def stop(self) -> None:
        tasks = [one.task for one in self._places.occupants() if isinstance(one, _Connection)]
        for task in (self._accepting, *tasks):
            if task is not None:
                task.cancel()
        waited = [task for task in (self._accepting, *tasks) if task is not None]
        await asyncio.gather(*waited, return_exceptions=True)
        self._listener.close()

    async def take(self, body: bytes, certificate: str, source: str) -> Reply:
        """Carry out one message of the node that ``certificate`` is of."""
        try:
            message = Message.model_validate_json(body)
        except ValidationError:
            return self._refuse(source, certificate, Refusal.MALFORMED)
        await self._directory.learn(certificate, message.epoch)
        refusal = self._gate.refusal(message, certificate, self._directory.epochs)
        if refusal is not None:
            return self._refuse(source, message.sender, refusal)
        try:
            async with asyncio.timeout(WORK_TIME):
                return Reply(done=await self._carry_out(message))
        except TimeoutError:
            return Reply()

    def _refuse(self, source: str, node: str, refusal: Refusal) -> Reply:
        self._refusals.note(source, node, refusal.value)
        return Reply(refusal=refusal.value)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listener)
            except OSError:
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            occupant = _Connection()
            if not self._places.take(source_of(address[0]), occupant):
                connection.close()
                continue
            occupant.task = asyncio.create_task(self._serve(occupant, connection, address[0]), name="peers: connection")
            occupant.task.add_done_callback(partial(self._release, occupant))

    def _release(self, occupant: _Connection, _: asyncio.Task[None]) -> None:
        self._places.release(occupant)

    async def _serve(self, occupant: _Connection, connection: socket.socket, source: str) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_BODY)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_TIME
            )
        except ssl.SSLError:
            self._refusals.note(source, "", Refusal.CERTIFICATE.value)
            return
        except OSError:  # it has gone, or was silent
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        certificate = node_of(transport.get_extra_info("peercert"))
        try:
            await self._converse(occupant, reader, writer, certificate, source)
        except (OSError, TimeoutError, h11.RemoteProtocolError, asyncio.IncompleteReadError):
            pass  # the other side repeats what it has to say
        finally:
            transport.abort()

    async def _converse(
        self,
        occupant: _Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        certificate: str,
        source: str,
    ) -> None:
        conversation = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_BODY)
        while True:
            request, body = await _read_message(conversation, reader)
            if request is None:
                return
            occupant.busy = True
            if request.target != PATH or request.method != b"POST" or len(body) > MAX_BODY:
                reply, status = self._refuse(source, certificate, Refusal.MALFORMED), 400
            else:
                reply = await self.take(bytes(body), certificate, source)
                status = 403 if reply.refusal else 200
            answer = reply.model_dump_json().encode()
            headers = [("content-type", "application/json"), ("content-length", str(len(answer)))]
            head = h11.Response(status_code=status, headers=headers)
            for event in (head, h11.Data(data=answer), h11.EndOfMessage()):
                writer.write(conversation.send(event) or b"")
            async with asyncio.timeout(MESSAGE_TIME):
                await writer.drain()
            occupant.busy = False
            if conversation.our_state is not h11.DONE or conversation.their_state is not h11.DONE:
                return
            conversation.start_next_cycle()


class _Connection:
    """One that waits for its peer gives way if all places are taken."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.busy = False

    def waits_for_peer(self) -> bool:
        return not self.busy

    def leave(self) -> None:
        if self.task is not None:
            self.task.cancel()


async def _read_message(
    conversation: h11.Connection, reader: asyncio.StreamReader
) -> tuple[h11.Request | None, bytearray]:
    """The next request with its body; ``None``: the other side has ended the connection."""
    request, body, allowed = None, bytearray(), IDLE_TIME
    while len(body) <= MAX_BODY:
        event = conversation.next_event()
        if event is h11.NEED_DATA:
            async with asyncio.timeout(allowed):
                conversation.receive_data(await reader.read(MAX_BODY))
            allowed = MESSAGE_TIME
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
        else:
            return None, body
    return request, body
