# SPDX-License-Identifier: GPL-3.0-or-later
"""One user, one client at a time: exact over every way in which a client can leave.

host 1 10.77.1.2 ── v1 ┐
host 2 10.77.2.2 ── v2 ┼ gateway 10.77.0.1, `ocsentry serve` with max_same_clients = 1
host 3 10.77.3.2 ── v3 ┘
"""

from __future__ import annotations

import os
import random

import pytest

from lab.server import INNER_IPV4

ROUNDS = int(os.environ.get("OCSENTRY_CLIENT_ROUNDS", "20"))  # a release is worth 100 or more
ONE = {"vpn.limits": {"max_same_clients": 1}}
# A silent peer is probed after 2 s and given up after twice that; one that was killed is forgotten soon.
IMPATIENT = {**ONE, "vpn.session": {"dpd": 2, "cookie_timeout": 10}}
TOLD = r"(?i)too many|already|maximum|limit|sessions"


def is_told_why(client) -> bool:
    """The client ends without a tunnel and its output says why."""
    assert client.await_exit() != 0
    assert not client.find("tunnel-script: connect")
    return client.find(TOLD) is not None


def test_the_second_client_is_told_why_and_the_first_keeps_its_tunnel(lab):
    server = lab.serve(settings=ONE)
    first = server.connect(lab.host())
    first.await_up()
    assert is_told_why(server.connect(lab.host()))
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


@pytest.mark.parametrize("way", ["unplugged", "silent"])
def test_after_the_network_of_the_first_broke_the_next_gets_in(lab, way):
    server = lab.serve(settings=IMPATIENT)
    host = lab.host()
    first = server.connect(host)
    first.await_up()
    if way == "unplugged":
        host.unplug()
    else:
        host.drop_silently()
    first.kill()
    # The server learns it from its own probes, nothing else: long before its kernel would give the connection up.
    server.await_no_connected()
    second = server.connect(lab.host())
    second.await_up()
    assert second.ping(INNER_IPV4) == 1.0
    assert server.leases() == 1


def test_random_connects_and_kills_end_with_no_lease(lab):
    server = lab.serve(settings=IMPATIENT)
    hosts = [lab.host() for _ in range(3)]
    chance = random.Random(20)
    running = []
    ups = 0
    for _ in range(ROUNDS):
        client = server.connect(chance.choice(hosts))
        running.append(client)
        if chance.random() < 0.6:
            # Either it is up, or it was refused, because another of the rounds before still is.
            ups += "connect" in client.await_line(r"^tunnel-script: connect|exiting\.$").text
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
