# SPDX-License-Identifier: GPL-3.0-or-later
"""Links that talk, by number and by where they come from: no one network may fill the places of all.

An address that holds its share sends its oldest silent link away with each new one: whoever sits there and says nothing
makes room for a neighbour behind the same address who logs in, and the places of others stay free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vpn_frontend.gateway.interface import Address
    from vpn_frontend.sessions.session import Peer


class Visitor(Protocol):
    peer: Peer


Guest = TypeVar("Guest", bound=Visitor)
IPV6_NETWORK = 8  # bytes; what one client is given at least


class Lobby(Generic[Guest]):
    """``share``: links of one IPv4 address or IPv6 /64. The gateway bounds how many there are in all."""

    def __init__(self, share: int) -> None:
        self._share = share
        self._links: dict[int, Guest] = {}  # in the order of their coming
        self._by_source: dict[bytes, dict[int, Guest]] = {}

    def __len__(self) -> int:
        return len(self._links)

    def __iter__(self) -> Iterator[Guest]:
        """Over those that are here now; they may leave meanwhile."""
        return iter([*self._links.values()])

    def enter(self, guest: Guest) -> None:
        self._links[guest.peer.link] = guest
        self._by_source.setdefault(_source(guest.peer.address), {})[guest.peer.link] = guest

    def find(self, link: int) -> Guest | None:
        return self._links.get(link)

    def leave(self, link: int) -> Guest | None:
        """Who left; ``None``: nobody of that number was here."""
        guest = self._links.pop(link, None)
        if guest is not None:
            source = _source(guest.peer.address)
            own = self._by_source[source]
            del own[link]
            if not own:
                del self._by_source[source]
        return guest

    def crowd(self, address: Address) -> list[Guest]:
        """The links of a source that has its whole share, oldest first; nobody while it has less."""
        own = self._by_source.get(_source(address), {})
        return [*own.values()] if len(own) >= self._share else []


def _source(address: Address) -> bytes:
    return address.packed[:IPV6_NETWORK] if address.version == 6 else address.packed
