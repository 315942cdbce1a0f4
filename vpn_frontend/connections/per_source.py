# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections by id and by source: an IPv4 address or an IPv6 /64. The gateway bounds their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vpn_frontend.sessions.session import Peer
    from vpn_frontend.settings import Address

IPV6_SOURCE = 8  # bytes: a /64, the least that one client is given


class HasPeer(Protocol):
    peer: Peer


ConnectionT = TypeVar("ConnectionT", bound=HasPeer)


class PerSourceTable(Generic[ConnectionT]):
    """All connections without a tunnel."""

    def __init__(self) -> None:
        self._connections: dict[int, ConnectionT] = {}  # oldest first
        self._by_source: dict[bytes, dict[int, ConnectionT]] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[ConnectionT]:
        """Iterate over a copy: connections may be removed meanwhile."""
        return iter([*self._connections.values()])

    def add_connection(self, connection: ConnectionT) -> None:
        peer = connection.peer
        self._connections[peer.connection_id] = connection
        self._by_source.setdefault(_source(peer.address), {})[peer.connection_id] = connection

    def find_connection(self, connection_id: int) -> ConnectionT | None:
        return self._connections.get(connection_id)

    def remove_connection(self, connection_id: int) -> ConnectionT | None:
        """Returns the connection, ``None`` if there was none of that id."""
        connection = self._connections.pop(connection_id, None)
        if connection is not None:
            source = _source(connection.peer.address)
            siblings = self._by_source[source]
            del siblings[connection_id]
            if not siblings:
                del self._by_source[source]
        return connection

    def of_source(self, address: Address) -> list[ConnectionT]:
        """The connections of the source that ``address`` is of, oldest first."""
        return [*self._by_source.get(_source(address), {}).values()]


def _source(address: Address) -> bytes:
    return address.packed[:IPV6_SOURCE] if address.version == 6 else address.packed
