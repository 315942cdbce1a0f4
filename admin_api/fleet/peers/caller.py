# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends messages to the other nodes. A node that does not answer is left alone for a while: the database tells it."""

from __future__ import annotations

import asyncio
import itertools
from enum import StrEnum
from typing import TYPE_CHECKING

import httpx
from pydantic import ValidationError

from admin_api.fleet.membership.lease import lease_clock
from admin_api.fleet.peers.identity import server_name
from admin_api.fleet.peers.messages import Message, Reply

if TYPE_CHECKING:
    import ssl

    from admin_api.fleet.membership.lease import Lease
    from admin_api.fleet.peers.directory import Peer, PeerDirectory
    from admin_api.fleet.peers.messages import Kind
    from admin_api.fleet.peers.refusals import Refusals

CONNECT_TIME = 0.5  # seconds
GONE_TIME = 0.5  # seconds for which a node whose port was refused is not called again: all its clients come at once
PAUSE = 2.0  # seconds without a message to a node that could not be reached
CONNECTIONS = 256
KEPT = 64  # connections without a message on the way
PATH = "/v1/message"


class Told(StrEnum):
    """What became of a message."""

    DONE = "done"  # the session is closed there, and its counters are written
    GONE = "gone"  # no process listens there: what it carried has ended with it
    UNKNOWN = "unknown"  # not reached, refused, or it has no such session any more: the database knows


class PeerCaller:
    """For one event loop. ``tell`` may run beside itself."""

    def __init__(
        self, name: str, tls: ssl.SSLContext, lease: Lease, directory: PeerDirectory, refusals: Refusals
    ) -> None:
        self._name, self._lease, self._directory, self._refusals = name, lease, directory, refusals
        self._serials = itertools.count(1)
        self._paused: dict[int, float] = {}  # until when, by node
        self._gone: dict[int, float] = {}
        self.counts = dict.fromkeys(Told, 0)
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=KEPT, keepalive_expiry=60.0)
        self._client = httpx.AsyncClient(verify=tls, trust_env=False, limits=limits, headers={"user-agent": "ocsentry"})

    async def tell(self, node: int, kind: Kind, session: str, generation: int, seconds: float) -> Told:
        """Have a node close one of its sessions, within ``seconds``."""
        told = await self._tell(node, kind, session, generation, seconds)
        self.counts[told] += 1
        return told

    async def close(self) -> None:
        await self._client.aclose()

    async def _tell(self, node: int, kind: Kind, session: str, generation: int, seconds: float) -> Told:
        me, now = self._lease.identity, lease_clock()
        if self._gone.get(node, 0.0) > now:
            return Told.GONE
        if me is None or self._paused.get(node, 0.0) > now:
            return Told.UNKNOWN
        peer = await self._directory.find(node)
        if peer is None or not peer.url:
            return Told.UNKNOWN
        message = Message(
            sender=self._name,
            epoch=me.epoch,
            serial=next(self._serials),
            kind=kind,
            session=session,
            generation=generation,
        )
        try:
            async with asyncio.timeout(seconds):
                reply = await self._send(peer, message, seconds)
        except (httpx.HTTPError, ValidationError, TimeoutError) as error:
            if _was_refused(error):
                self._gone = {one: until for one, until in self._gone.items() if until > now}
                self._gone[node] = lease_clock() + GONE_TIME
                return Told.GONE
            self._paused = {one: until for one, until in self._paused.items() if until > now}
            self._paused[node] = lease_clock() + PAUSE
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                self._refusals.note(peer.url, peer.name, "certificate")
            return Told.UNKNOWN
        return Told.DONE if reply.done else Told.UNKNOWN

    async def _send(self, peer: Peer, message: Message, seconds: float) -> Reply:
        answer = await self._client.post(
            peer.url.rstrip("/") + PATH,
            content=message.model_dump_json(),
            headers={"content-type": "application/json"},
            timeout=httpx.Timeout(seconds, connect=min(CONNECT_TIME, seconds)),
            extensions={"sni_hostname": server_name(peer.name)},
        )
        return Reply.model_validate_json(answer.content)


def _was_refused(error: BaseException | None) -> bool:
    """True if nothing listens at the address, which its machine has said."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        error = error.__cause__ or error.__context__
    return False
