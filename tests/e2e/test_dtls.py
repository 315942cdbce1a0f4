# SPDX-License-Identifier: GPL-3.0-or-later
"""DTLS in the ways that openconnect speaks it, over good roads and bad ones.

host 1 10.77.1.2 ── router (lab/roughroad.py: loses, doubles, reorders UDP) ── gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import os
import socket
import time

import pytest

from lab.bounds import bound
from lab.network import SERVER_IPV4, SERVER_IPV6
from lab.patience import PATIENCE
from lab.pings import Pings
from lab.roughroad import SMOOTH, Roughness
from lab.server import INNER_IPV4, INNER_IPV6
from lab.transfer import move

UP_SECONDS = 2.0
DPD = 4  # seconds
FALL_BACK_SECONDS = 2 * DPD + 2.0  # the client gives UDP up after two probes; both sides then speak TLS
RETRY_SECONDS = 60.0  # until the client tries UDP once more
TRANSFER_BYTES = int(os.environ.get("OCSENTRY_TRANSFER_BYTES", "134217728"))
DTLS = {"vpn": {"dtls": True}, "vpn.session": {"dpd": DPD}}
# The key comes from the TLS channel's exporter; or, as AnyConnect does it, a session that channel named is resumed.
WAYS = {
    "psk": (),
    "resumed": ("--dtls12-ciphers=ECDHE-RSA-AES256-GCM-SHA384",),
}


@pytest.mark.parametrize("outside", [SERVER_IPV4, SERVER_IPV6])
@pytest.mark.parametrize("way", WAYS)
def test_dtls_is_up_at_once_and_carries_the_tunnel(lab, way, outside):
    server = lab.serve(settings=DTLS)
    client = server.connect(lab.host(), *WAYS[way], dtls=True, server=outside)
    assert client.await_dtls() < bound(UP_SECONDS)
    client.await_up()
    assert client.ping(INNER_IPV4) == client.ping(INNER_IPV6) == 1.0
    server.await_transport("dtls")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("road", ["smooth", "rough"])
def test_bytes_arrive_unchanged_both_ways(lab, way, road):
    server = lab.serve(settings=DTLS)
    host = lab.host(rough=road == "rough")
    client = server.connect(host, *WAYS[way], dtls=True)
    client.await_dtls()
    inside = client.await_up()
    size = TRANSFER_BYTES
    if host.road:
        host.road.roughness = Roughness(lost=0.01, doubled=0.01, reordered=0.05)
        size //= 8  # every packet passes through Python on this road
    for source, sink, address in (
        (host.namespace, lab.site.gateway, INNER_IPV4),
        (
            lab.site.gateway,
            host.namespace,
            inside.ipv4,
        ),
    ):
        moved = move(source, sink, address, size)
        assert (moved.size, moved.received) == (size, moved.sent)
    if host.road:
        assert host.road.seen > size // 1400, "the packets did not take the rough road"
        host.road.roughness = SMOOTH


def test_blocked_udp_costs_no_session_and_comes_back(lab):
    server = lab.serve(settings=DTLS)
    host = lab.host(rough=True)
    client = server.connect(host, dtls=True)
    client.await_dtls()
    client.await_up()
    (before,) = server.sessions()
    pings = Pings(client, INNER_IPV4)
    pings.await_answers(10)
    host.road.roughness = Roughness(lost=1.0)
    blocked = time.monotonic()
    since = len(client.lines)
    answered = pings.answered
    pings.await_answers(answered + 20, timeout=PATIENCE + bound(FALL_BACK_SECONDS))
    silence = time.monotonic() - blocked
    assert silence < bound(FALL_BACK_SECONDS)
    host.road.roughness = SMOOTH
    client.await_line(r"Established DTLS", PATIENCE + RETRY_SECONDS, since=since)
    (after,) = server.sessions()
    assert after["id"] == before["id"]
    assert client.ping(INNER_IPV4) == 1.0


def test_a_block_cuts_a_dtls_tunnel(lab):
    server = lab.serve(settings=DTLS)
    host = lab.host()
    client = server.connect(host, dtls=True)
    client.await_dtls()
    client.await_up()
    server.api.block(host.ipv4, "Not over UDP either")
    client.await_line("Not over UDP either")
    assert client.await_exit() != 0


def test_replayed_cut_and_strangers_hellos_disturb_nothing(lab):
    server = lab.serve(settings=DTLS)
    host, stranger = lab.host(rough=True), lab.host()
    client = server.connect(host, dtls=True)
    client.await_dtls()
    client.await_up()
    hello = next(payload for payload in map(udp_payload, host.road.first) if payload[:1] == b"\x16")
    pings = Pings(client, INNER_IPV4)
    pings.await_answers(10)
    with stranger.namespace.socket(kind=socket.SOCK_DGRAM) as mouth:
        mouth.settimeout(0.3)
        mouth.connect((SERVER_IPV4, 443))
        for size in range(len(hello) + 1):
            mouth.send(hello[:size])
        for offset in range(len(hello)):
            mouth.send(hello[:offset] + bytes([hello[offset] ^ 0xFF]) + hello[offset + 1 :])
        heard = hear_all(mouth)
        assert all(len(answer) <= len(hello) for answer in heard), "an answer larger than the question amplifies"
    pings.await_answers(pings.answered + 20)
    assert pings.missing() == []
    server.await_transport("dtls")
    second = server.connect(stranger, user="bob", dtls=True)
    assert second.await_dtls() < bound(UP_SECONDS)


def udp_payload(packet: bytes) -> bytes:
    """Of an IPv4 packet."""
    return packet[(packet[0] & 15) * 4 + 8 :] if packet[0] >> 4 == 4 else b""


def hear_all(mouth: socket.socket) -> list[bytes]:
    """Every datagram until none comes for the socket's timeout."""
    heard = []
    try:
        while True:
            heard.append(mouth.recv(65_535))
    except TimeoutError:
        return heard
