# SPDX-License-Identifier: GPL-3.0-or-later
"""This node among its peers: it calls them, and if it has a port for that, it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_api.fleet.peers.caller import PeerCaller
from admin_api.fleet.peers.directory import PeerDirectory
from admin_api.fleet.peers.identity import PeerIdentity
from admin_api.fleet.peers.listener import PeerListener
from admin_api.fleet.peers.refusals import Refusals

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from admin_api.fleet.calls import Calls
    from admin_api.fleet.membership.lease import Lease
    from admin_api.fleet.peers.messages import Message
    from admin_api.fleet.settings import FleetSettings
    from vpn_frontend.ports import EventSink


class Peers:
    """Call ``start`` on the event loop, once the node has joined."""

    def __init__(
        self,
        settings: FleetSettings,
        lease: Lease,
        calls: Calls,
        events: EventSink,
        listener: socket.socket | None,
        carry_out: Callable[[Message], Awaitable[bool]],
    ) -> None:
        """``listener``: a bound socket, which belongs to this from now on; ``None``: this node only calls."""
        identity = PeerIdentity(settings.secret, settings.name)
        self.refusals = Refusals(events)
        self.directory = PeerDirectory(calls)
        self.caller = PeerCaller(settings.name, identity.client_context(), lease, self.directory, self.refusals)
        self.listener = (
            None
            if listener is None
            else PeerListener(listener, identity.server_context(), self.directory, self.refusals, carry_out)
        )

    def start(self) -> None:
        if self.listener is not None:
            self.listener.start()

    async def stop(self) -> None:
        if self.listener is not None:
            await self.listener.stop()
        await self.caller.close()
