# SPDX-License-Identifier: GPL-3.0-or-later
"""A block is in force before the operator gets the answer: tunnels end with its reason, new connections are closed.

host 1 10.77.1.2 ── v1 ┐
host 2 10.77.2.2 ── v2 ┴ gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lab.server import INNER_IPV4
from lab.timeouts import eventually, time_limit
from lab.traffic.probes import ProbeResult, await_probe, closes_without_data, probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.server import Server

CUT_SECONDS = 0.100  # from the request until the client prints the reason
CUT_TRIES = 5  # one must be that fast; other load may delay the rest
WATCH_SECONDS = 1.0  # from saving a rule file until it is in force
REASON = "Brute force from your network"


@dataclass(frozen=True, slots=True)
class Surface:
    """How an operator blocks and unblocks."""

    block: Callable[[Server, str], object]
    unblock: Callable[[Server, str], object]


def _api_block(server: Server, cidr: str) -> None:
    answer = server.api.block(cidr, REASON, ttl=3600)
    assert answer["cidr"].split("/")[0] == cidr.split("/", maxsplit=1)[0]
    assert answer["reason"] == REASON
    assert answer["sessions_cut"] == 1
    assert answer["expires_at"]


def _api_unblock(server: Server, cidr: str) -> None:
    (block,) = server.api.get("/api/v1/blocks")["items"]
    server.api.unblock(block["id"])
    assert server.api.get("/api/v1/blocks")["items"] == []


def _socket(server: Server, command: str, **more: object) -> None:
    answer = server.command(command, **more)
    assert answer.get("ok", answer.get("status") == "ok"), answer


def _file_rules(server: Server, *cidrs: str) -> None:
    server.write_rules(
        [
            {"id": f"block_{i}", "type": "geo_filter", "remote_addr": cidr, "description": REASON, "action": "reject"}
            for i, cidr in enumerate(cidrs)
        ]
    )


SURFACES = {
    "api": Surface(_api_block, _api_unblock),
    "socket": Surface(
        lambda server, cidr: _socket(server, "block_ip", ip=cidr, reason=REASON),
        lambda server, cidr: _socket(server, "unblock_ip", ip=cidr),
    ),
    "cli": Surface(
        lambda server, cidr: server.cli("block", cidr, "--reason", REASON),
        lambda server, cidr: server.cli("unblock", cidr),
    ),
    "file": Surface(_file_rules, lambda server, cidr: _file_rules(server)),
}


@pytest.mark.parametrize("target", ["address", "subnet"])
@pytest.mark.parametrize("name", SURFACES)
def test_a_block_cuts_the_tunnel_and_refuses_connections(lab, name, target, record_property):
    surface = SURFACES[name]
    server = lab.serve()
    host, bystander = lab.host(), lab.host()
    other = server.connect(bystander, user="bob")
    client = server.connect(host)
    client.await_up()
    other.await_up()
    cidr = host.ipv4 if target == "address" else "10.77.1.0/24"
    surface.block(server, cidr)
    asked = time.monotonic()
    record_property("seconds_to_cut", seconds := client.await_line(REASON).at - asked)
    assert seconds < time_limit(WATCH_SECONDS)
    assert client.await_exit() != 0
    assert closes_without_data(host)
    again = server.connect(host)
    assert again.await_exit() != 0
    assert not again.find("Connected to HTTPS")
    assert other.ping(INNER_IPV4) == 1.0
    assert probe(bystander) is ProbeResult.HANDSHAKE
    surface.unblock(server, cidr)
    await_probe(host, ProbeResult.HANDSHAKE)
    server.connect(host).await_up()


@pytest.mark.parametrize("dtls", [False, True], ids=["tls", "dtls"])
def test_the_client_is_told_of_a_block_at_once(lab, record_property, dtls):
    server = lab.serve(settings={"vpn": {"dtls": dtls}})
    host = lab.host()
    times: list[float] = []
    while len(times) < CUT_TRIES and min(times, default=1.0) >= CUT_SECONDS:
        client = server.connect(host, dtls=dtls)
        client.await_up()
        if dtls:
            client.await_dtls()
        asked = time.monotonic()
        block = server.api.block(host.ipv4, REASON)
        times.append(client.await_line(REASON).at - asked)
        client.await_exit()
        server.api.unblock(block["id"])
    record_property("seconds_to_cut", min(times))
    assert min(times) < time_limit(CUT_SECONDS)


def test_a_dry_run_says_how_many_it_would_cut_and_cuts_none(lab):
    server = lab.serve()
    host = lab.host()
    client = server.connect(host)
    client.await_up()
    body = {"cidr": f"{host.ipv4}/32", "reason": REASON}
    status, answer = server.api.call("POST", "/api/v1/blocks?dry_run=true", body)
    assert status in {200, 201}
    assert answer["sessions_cut"] == 1
    assert client.ping(INNER_IPV4) == 1.0
    assert server.api.get("/api/v1/blocks")["items"] == []


def test_a_block_ends_with_its_time(lab):
    server = lab.serve()
    host = lab.host()
    for ttl in 2, 20, 200:  # a busy machine may probe after a short block has ended
        asked = time.monotonic()
        server.api.block(host.ipv4, REASON, ttl=ttl)
        if closes_without_data(host):
            break
        assert time.monotonic() - asked > ttl - 1.0
    await_probe(host, ProbeResult.HANDSHAKE)
    assert time.monotonic() - asked > ttl - 1.0


def test_an_open_prefix_inside_a_blocked_one_and_a_blocked_host_inside_an_open_one(lab):
    server = lab.serve(
        rules=[
            {"id": "far", "type": "geo_filter", "remote_addr": "198.51.100.0/24", "action": "reject"},
            {"id": "near", "type": "whitelist", "remote_addr": "198.51.100.64/26", "action": "accept"},
            {"id": "bad", "type": "geo_filter", "remote_addr": "198.51.100.66/32", "action": "reject"},
        ]
    )
    outside, inside, bad = lab.host("198.51.100.7"), lab.host("198.51.100.65"), lab.host("198.51.100.66")
    assert closes_without_data(outside)
    assert closes_without_data(bad)
    server.connect(inside).await_up()
    assert server.connect(bad).await_exit() != 0


def test_a_rule_file_with_an_error_changes_nothing_and_says_so(lab):
    server = lab.serve()
    host = lab.host()
    _file_rules(server, f"{host.ipv4}/32")
    await_probe(host, ProbeResult.CLOSED)
    server.save_rule_file('{"wolfsentry": {"version": "1.6.3", "rules": [{"id": "x", "type": "geo_filter"')
    eventually(lambda: json.dumps(server.command("status")), lambda text: "test.json" in text, "said in the status")
    server.program.await_line(r"test\.json")
    assert probe(host) is ProbeResult.CLOSED
    status, answer = server.api.call("GET", "/readyz")
    assert "rules" in json.dumps(answer) or status == 503
    _file_rules(server)
    await_probe(host, ProbeResult.HANDSHAKE)


def test_blocks_survive_a_restart(lab):
    server = lab.serve()
    host, other = lab.host(), lab.host()
    server.api.block(host.ipv4, REASON)
    server.restart()
    assert closes_without_data(host)
    server.connect(other).await_up()
    assert [block["reason"] for block in server.api.get("/api/v1/blocks")["items"]] == [REASON]
