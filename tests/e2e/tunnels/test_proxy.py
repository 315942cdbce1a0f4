# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients behind a proxy that sends PROXY headers: sessions, limits and blocks are those of the clients.

host 1 10.77.1.2 ── v1 ┐
host 2 10.77.2.2 ── v2 ┴ gateway 10.77.0.1, proxy on port 8443, `ocsentry serve` on port 443
"""

from __future__ import annotations

import pytest

from lab.network import SERVER_IPV4
from lab.server import INNER_IPV4
from lab.services.proxy import ProxyServer, header_v1, header_v2
from lab.traffic.probes import ProbeResult, probe

PROXY_PORT = 8443
SETTINGS = {"vpn": {"proxy_from": [f"{SERVER_IPV4}/32"]}}


@pytest.mark.parametrize("make_header", [header_v1, header_v2], ids=["version 1", "version 2"])
def test_a_block_of_one_client_leaves_the_others_of_the_proxy(lab, make_header):
    server = lab.serve(settings=SETTINGS)
    first, second = lab.host(), lab.host()
    with ProxyServer(lab.network.gateway, (SERVER_IPV4, PROXY_PORT), (SERVER_IPV4, 443), make_header):
        blocked = server.connect(first, port=PROXY_PORT)
        blocked.await_up()
        assert blocked.ping(INNER_IPV4) == 1.0
        other = server.connect(second, user="bob", port=PROXY_PORT)
        other.await_up()
        assert {one["user"]: one["address"] for one in server.sessions()} == {"alice": first.ipv4, "bob": second.ipv4}
        assert server.api.block(first.ipv4, "Brute force", ttl=600)["sessions_cut"] == 1
        blocked.await_exit()
        assert other.ping(INNER_IPV4) == 1.0
        again = server.connect(first, port=PROXY_PORT)
        assert again.await_exit() != 0
        server.connect(second, user="carol", port=PROXY_PORT).await_up()


def test_who_is_no_listed_proxy_names_no_client(lab):
    server = lab.serve(settings=SETTINGS)
    stranger = lab.host()
    with stranger.namespace.connect((SERVER_IPV4, 443)) as stream:
        stream.sendall(header_v2(("198.51.100.7", 50_000), (SERVER_IPV4, 443)))
        assert stream.recv(64)[:1] in (b"", b"\x15"), "an alert, then the end"
    assert probe(stranger) is ProbeResult.HANDSHAKE
    server.connect(stranger).await_up()
    assert server.sessions()[0]["address"] == stranger.ipv4
