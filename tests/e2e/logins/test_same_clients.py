# SPDX-License-Identifier: GPL-3.0-or-later
"""max_same_clients = 1 is exact, however the client leaves.

host 1 10.77.1.2 ── v1 ┐
host 2 10.77.2.2 ── v2 ┼ gateway 10.77.0.1, `ocsentry serve` with max_same_clients = 1
host 3 10.77.3.2 ── v3 ┘
"""

from __future__ import annotations

import os
import random

import pytest

from lab.server import INNER_IPV4

ROUNDS = int(os.environ.get("OCSENTRY_CLIENT_ROUNDS", "20"))  # 100 or more before a release
ONE = {"vpn.limits": {"max_same_clients": 1}}
# DPD probes a silent client after 2 s and ends it after 4 s; a killed client's cookie ends after 10 s.
SHORT_TIMEOUTS = {**ONE, "vpn.session": {"dpd": 2, "cookie_timeout": 10}}
LIMIT_MESSAGE = r"(?i)too many|already|maximum|limit|sessions"


def is_refused_with_reason(client) -> bool:
    """The client ends without a tunnel and prints the reason."""
    assert client.await_exit() != 0
    assert not client.find("vpnc-script: connect")
    return client.find(LIMIT_MESSAGE) is not None


def test_the_second_client_is_told_why_and_the_first_keeps_its_tunnel(lab):
    server = lab.serve(settings=ONE)
    first = server.connect(lab.host())
    first.await_up()
    assert is_refused_with_reason(server.connect(lab.host()))
    assert first.ping(INNER_IPV4) == 1.0
    assert server.leases() == 1
    server.connect(lab.host(), user="bob").await_up()
    assert server.leases() == 2


@pytest.mark.parametrize("way", ["goodbye", "kill"])
def test_after_the_first_leaves_the_next_gets_in(lab, way):
    server = lab.serve(settings=ONE)
    first = server.connect(lab.host())
    first.await_up()
    if way == "goodbye":
        first.goodbye()
    else:
        first.kill()
    second = server.connect(lab.host())
    second.await_up()
    assert second.ping(INNER_IPV4) == 1.0
    assert server.leases() == 1


@pytest.mark.parametrize("way", ["unplugged", "blackhole"])
def test_after_the_first_lost_its_network_the_next_gets_in(lab, way):
    server = lab.serve(settings=SHORT_TIMEOUTS)
    host = lab.host()
    first = server.connect(host)
    first.await_up()
    if way == "unplugged":
        host.unplug()
    else:
        host.blackhole()
    first.kill()
    # Only the server's DPD detects this; the kernel would keep the connection much longer.
    server.await_no_connected()
    second = server.connect(lab.host())
    second.await_up()
    assert second.ping(INNER_IPV4) == 1.0
    assert server.leases() == 1


def test_random_connects_and_kills_end_with_no_lease(lab):
    server = lab.serve(settings=SHORT_TIMEOUTS)
    hosts = [lab.host() for _ in range(3)]
    chance = random.Random(20)
    running = []
    ups = 0
    for _ in range(ROUNDS):
        client = server.connect(chance.choice(hosts))
        running.append(client)
        if chance.random() < 0.6:
            # Up, or refused because a client of an earlier round still is.
            ups += "connect" in client.await_line(r"^vpnc-script: connect|exiting\.$").text
        assert server.leases() <= 1
        while running and (len(running) > 2 or chance.random() < 0.7):
            leaver = running.pop(chance.randrange(len(running)))
            if chance.random() < 0.5:
                leaver.kill()
            else:
                leaver.goodbye()
    for client in running:
        client.kill()
    assert ups > 0
    server.await_leases(0)
    last = server.connect(hosts[0])
    last.await_up()
    assert last.ping(INNER_IPV4) == 1.0
    assert server.leases() == 1
