# SPDX-License-Identifier: GPL-3.0-or-later
from ipaddress import ip_address
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.connections.per_source import PerSourceTable

ADDRESSES = [ip_address(text) for text in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")]
SOURCES = {address: str(address) for address in ADDRESSES} | {ADDRESSES[3]: str(ADDRESSES[2])}  # one /64


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 19))))
def test_it_knows_every_connection_and_its_source(steps):
    table, model = PerSourceTable(), {}
    for adds, number in steps:
        if adds and number not in model:
            peer = SimpleNamespace(connection_id=number, address=ADDRESSES[number % 5])
            model[number] = SimpleNamespace(peer=peer)
            table.add_connection(model[number])
        elif not adds:
            assert table.remove_connection(number) is model.pop(number, None)
        assert [*table] == [*model.values()]
        assert len(table) == len(model)
        assert table.find_connection(number) is model.get(number)
        for address in ADDRESSES:
            own = [connection for connection in model.values() if SOURCES[connection.peer.address] == SOURCES[address]]
            assert table.of_source(address) == own
