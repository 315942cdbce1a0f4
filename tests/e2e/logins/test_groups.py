# SPDX-License-Identifier: GPL-3.0-or-later
"""What a group and a user get arrives at the client, is enforced, and changes while it is connected.

host 1 10.77.1.2 ── v1 ── gateway 10.77.0.1, `ocsentry serve` on its outer address only
  └── tun0 192.168.99.x ═ TLS ═ ocs0 192.168.99.1
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress

import pytest

from lab.network import SERVER_IPV4
from lab.server import INNER_IPV4
from lab.timeouts import STRICT, eventually
from lab.traffic.transfer import listen, transfer

RATE = 1_250_000  # bytes per second: 10 Mbit/s
BURST = RATE // 4  # bytes that the bucket holds
SIZE = (16 if STRICT else 4) * RATE  # so long that the burst hardly counts, where the time is asserted
TOLERANCE = 0.05 if STRICT else 0.15  # of the rate; the machine is shared
OUTER = {"vpn": {"listen": f"{SERVER_IPV4}:443"}}
PROFILE = "<AnyConnectProfile><ServerList/></AnyConnectProfile>"
STAFF = {"name": "staff", "label": "The staff"}


def join(server, *groups, user="alice", **more):
    return server.api.expect(200, "PATCH", f"/api/v1/users/{user}", {"groups": groups, **more})


def add_group(server, name, **settings):
    return server.api.expect(201, "POST", "/api/v1/groups", {"name": name, "settings": settings})


def reaches(host, port):
    try:
        host.namespace.connect((INNER_IPV4, port), timeout=1).close()
    except TimeoutError:
        return False
    return True


def send_some(sender, client):
    """Sends a hundred datagrams, and returns whether the client still runs."""
    for _ in range(100):
        with suppress(OSError):  # the route has gone with the client
            sender.sendto(bytes(1200), (INNER_IPV4, 9))
    return client.running


def rate_of(server, direction, move):
    before = server.sessions()[0]["counters"][direction]
    seconds = move().seconds
    return (server.sessions()[0]["counters"][direction] - before - BURST) / seconds


def test_a_group_gets_its_rate_and_its_port_and_nothing_else(lab):
    server = lab.serve(settings=OUTER | {"groups.staff": {"restrict_to_ports": ["tcp/443"], "from_client": RATE,
                                                          "to_client": RATE}})  # fmt: skip
    join(server, "staff")
    host = lab.host()
    client = server.connect(host)
    client.await_up()
    gateway = lab.network.gateway
    up = rate_of(server, "rx_bytes", lambda: transfer(host.namespace, gateway, INNER_IPV4, SIZE, port=443))
    assert up == pytest.approx(RATE, rel=TOLERANCE)
    down = rate_of(
        server,
        "tx_bytes",
        lambda: transfer(gateway, host.namespace, INNER_IPV4, SIZE, port=443, source_listens=True),
    )
    assert down == pytest.approx(RATE, rel=TOLERANCE)
    with listen(gateway, INNER_IPV4, 8080):
        assert not reaches(host, 8080)
        assert client.ping(INNER_IPV4, count=2, timeout=1) == 0.0
        join(server)
        assert reaches(host, 8080), "the live session has lost its restriction with the group"
        assert client.ping(INNER_IPV4) == 1.0


def test_routes_servers_and_profile_of_group_and_user_arrive_at_the_client(lab, tmp_path):
    server = lab.serve(settings={"groups.staff.network": {"dns": ["10.50.0.1"], "mtu": 1250}})
    add_group(server, "staff", network={"routes": ["10.50.0.0/16", "fd50::/32"]}, profile=PROFILE)
    changed = join(server, "staff", settings={"network": {"mtu": 1300}})
    assert changed["effective"]["network.dns"] == {"value": ["10.50.0.1"], "origin": "group staff (file)"}
    assert changed["effective"]["network.mtu"] == {"value": 1300, "origin": "user alice"}
    kept = tmp_path / "kept.xml"
    kept.write_text("<AnyConnectProfile/>")
    host = lab.host()
    client = server.connect(host, f"--xmlconfig={kept}")
    inside = client.await_up()
    assert kept.read_text() == PROFILE
    assert (inside.dns, inside.mtu) == ("10.50.0.1", 1300)
    routes = host.namespace.run("ip", "-json", "route", "show", "dev", inside.device)
    assert "10.50.0.0/16" in [route["dst"] for route in json.loads(routes)]
    assert "default" not in [route["dst"] for route in json.loads(routes)]
    other = server.connect(lab.host(), user="bob")
    assert other.await_up().dns == INNER_IPV4


def test_a_group_is_chosen_by_label_or_url_and_only_by_its_members(lab):
    server = lab.serve(settings={"auth": {"no_group_label": "none"}})
    server.api.expect(201, "POST", "/api/v1/groups", {**STAFF, "settings": {"network": {"dns": ["10.50.0.1"]}}})
    add_group(server, "ops", network={"dns": ["10.60.0.1"]})
    join(server, "ops", "staff")
    chosen = server.connect(lab.host(), "--authgroup=The staff")
    assert chosen.await_up().dns == "10.50.0.1"
    assert server.sessions()[0]["groups"] == ["staff", "ops"]
    chosen.goodbye()
    by_url = server.connect(lab.host(), path="ops")
    assert by_url.await_up().dns == "10.60.0.1"
    stranger = server.connect(lab.host(), "--authgroup=The staff", user="bob")
    assert stranger.await_exit() != 0
    assert stranger.find("You are not a member of the group staff")


def test_a_user_over_quota_is_told_and_cut_and_stays_out_after_a_restart(lab):
    server = lab.serve(settings=OUTER)
    host = lab.host()
    client = server.connect(host)
    client.await_up()
    changed = join(server, settings={"quota": {"day": 1_000_000}})
    assert changed["in_force"] == ["quota.day"]
    with host.namespace.socket(kind=socket.SOCK_DGRAM) as sender:
        eventually(lambda: send_some(sender, client), lambda running: not running, "without the client")
    assert client.find("The quota of 1 MB a day is used up")
    server.await_sessions(0)
    server.restart()
    again = server.connect(lab.host())
    assert again.await_exit() != 0
    assert again.find("The quota of 1 MB a day is used up")
    join(server, settings={"quota": {"day": 100_000_000}})
    server.connect(lab.host()).await_up()


def test_who_is_moved_into_an_expired_group_is_cut_with_words(lab):
    server = lab.serve()
    add_group(server, "former", expires_at="2020-01-01T00:00:00Z")
    client = server.connect(lab.host())
    client.await_up()
    assert join(server, "former")["sessions_cut"] == 1
    client.await_exit()
    assert client.find("The access of this group has expired")
    again = server.connect(lab.host())
    assert again.await_exit() != 0
    assert again.find("The access of this group has expired")
    eventually(server.leases, lambda found: found == 0, "no lease")
