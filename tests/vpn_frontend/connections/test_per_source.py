# SPDX-License-Identifier: GPL-3.0-or-later
from ipaddress import ip_address
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.connections.per_source import Lobby

ADDRESSES = [ip_address(text) for text in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")]
SOURCES = {address: str(address) for address in ADDRESSES} | {ADDRESSES[3]: str(ADDRESSES[2])}  # one /64
SHARE = 3


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 19))))
def test_it_knows_who_is_here_and_from_where(steps):
    lobby, here = Lobby(SHARE), {}
    for enters, link in steps:
        if enters and link not in here:
            here[link] = SimpleNamespace(peer=SimpleNamespace(link=link, address=ADDRESSES[link % 5]))
            lobby.enter(here[link])
        elif not enters:
            assert lobby.leave(link) is here.pop(link, None)
        assert [*lobby] == [*here.values()]
        assert len(lobby) == len(here)
        assert lobby.find(link) is here.get(link)
        for address in ADDRESSES:
            own = [guest for guest in here.values() if SOURCES[guest.peer.address] == SOURCES[address]]
            assert lobby.crowd(address) == (own if len(own) >= SHARE else [])
