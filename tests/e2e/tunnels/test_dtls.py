# SPDX-License-Identifier: GPL-3.0-or-later
"""DTLS with openconnect's two key exchanges, over good links and impaired ones.

host 1 10.77.1.2 ── router (loss, duplication, reordering: lab/traffic) ── gateway 10.77.0.1, `ocsentry serve`
"""

from __future__ import annotations

import os
import socket
import time

import pytest

from lab.network import SERVER_IPV4, SERVER_IPV6
from lab.server import INNER_IPV4, INNER_IPV6
from lab.timeouts import TIMEOUT, time_limit
from lab.traffic.continuous_ping import ContinuousPing
from lab.traffic.impairment import NONE, Impairment
from lab.traffic.transfer import transfer

UP_SECONDS = 2.0
DPD = 4  # seconds
FALL_BACK_SECONDS = 2 * DPD + 2.0  # the client gives up UDP after two probes and uses TLS
RETRY_SECONDS = 60.0  # until the client tries UDP again
TRANSFER_BYTES = int(os.environ.get("OCSENTRY_TRANSFER_BYTES", "134217728"))
DTLS = {"vpn": {"dtls": True}, "vpn.session": {"dpd": DPD}}
# psk: a key from the TLS exporter. resumed: a session that the TLS channel named, as AnyConnect does.
KEY_EXCHANGES = {
    "psk": (),
    "resumed": ("--dtls12-ciphers=ECDHE-RSA-AES256-GCM-SHA384",),
}


@pytest.mark.parametrize("outside", [SERVER_IPV4, SERVER_IPV6])
@pytest.mark.parametrize("exchange", KEY_EXCHANGES)
def test_dtls_is_up_at_once_and_carries_the_tunnel(lab, exchange, outside):
    server = lab.serve(settings=DTLS)
    client = server.connect(lab.host(), *KEY_EXCHANGES[exchange], dtls=True, server=outside)
    assert client.await_dtls() < time_limit(UP_SECONDS)
    client.await_up()
    assert client.ping(INNER_IPV4) == client.ping(INNER_IPV6) == 1.0
    server.await_transport("dtls")


def test_sessions_of_other_suites_are_resumed(lab):
    """RSA key exchange by name only; openconnect has names of its own for two."""
    server, host = lab.serve(settings=DTLS), lab.host()
    offers = (
        ("--dtls12-ciphers=AES128-GCM-SHA256",),
        ("--dtls-ciphers=OC-DTLS1_2-AES256-GCM", "--dtls12-ciphers=NONE"),
    )
    for offer in offers:
        client = server.connect(host, *offer, dtls=True)
        client.await_dtls()
        client.await_up()
        assert client.ping(INNER_IPV4) == 1.0
        client.goodbye()


@pytest.mark.parametrize("exchange", KEY_EXCHANGES)
@pytest.mark.parametrize("link", ["good", "impaired"])
def test_bytes_arrive_unchanged_both_ways(lab, exchange, link):
    server = lab.serve(settings=DTLS)
    host = lab.host(impaired=link == "impaired")
    client = server.connect(host, *KEY_EXCHANGES[exchange], dtls=True)
    client.await_dtls()
    inside = client.await_up()
    size = TRANSFER_BYTES
    if host.impaired_link:
        host.impaired_link.impairment = Impairment(loss=0.01, duplicate=0.01, reorder=0.05)
        size //= 8  # every packet passes through Python on this link
    gateway = lab.network.gateway
    for source, sink, address in (host.namespace, gateway, INNER_IPV4), (gateway, host.namespace, inside.ipv4):
        moved = transfer(source, sink, address, size)
        assert (moved.size, moved.received) == (size, moved.sent)
    if host.impaired_link:
        assert host.impaired_link.packets > size // 1400, "the packets did not take the impaired link"
        host.impaired_link.impairment = NONE


def test_blocked_udp_costs_no_session_and_comes_back(lab):
    server = lab.serve(settings=DTLS)
    host = lab.host(impaired=True)
    client = server.connect(host, dtls=True)
    client.await_dtls()
    client.await_up()
    (before,) = server.sessions()
    pings = ContinuousPing(client, INNER_IPV4)
    pings.await_replies(10)
    host.impaired_link.impairment = Impairment(loss=1.0)
    blocked = time.monotonic()
    since = len(client.lines)
    answered = pings.replies
    pings.await_replies(answered + 20, timeout=TIMEOUT + time_limit(FALL_BACK_SECONDS))
    silence = time.monotonic() - blocked
    assert silence < time_limit(FALL_BACK_SECONDS)
    host.impaired_link.impairment = NONE
    client.await_line(r"Established DTLS", TIMEOUT + RETRY_SECONDS, since=since)
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


def test_replayed_truncated_and_forged_hellos_do_no_harm(lab):
    server = lab.serve(settings=DTLS)
    host, attacker = lab.host(impaired=True), lab.host()
    client = server.connect(host, dtls=True)
    client.await_dtls()
    client.await_up()
    hello = next(payload for payload in map(udp_payload, host.impaired_link.captured) if payload[:1] == b"\x16")
    pings = ContinuousPing(client, INNER_IPV4)
    pings.await_replies(10)
    with attacker.namespace.socket(kind=socket.SOCK_DGRAM) as udp:
        udp.settimeout(0.3)
        udp.connect((SERVER_IPV4, 443))
        for size in range(len(hello) + 1):
            udp.send(hello[:size])
        for offset in range(len(hello)):
            udp.send(hello[:offset] + bytes([hello[offset] ^ 0xFF]) + hello[offset + 1 :])
        answers = receive_all(udp)
        assert all(len(answer) <= len(hello) for answer in answers), "an answer larger than its request amplifies"
    pings.await_replies(pings.replies + 20)
    assert pings.missing() == []
    server.await_transport("dtls")
    second = server.connect(attacker, user="bob", dtls=True)
    assert second.await_dtls() < time_limit(UP_SECONDS)


def udp_payload(packet: bytes) -> bytes:
    """Returns the UDP payload of an IPv4 packet."""
    return packet[(packet[0] & 15) * 4 + 8 :] if packet[0] >> 4 == 4 else b""


def receive_all(udp: socket.socket) -> list[bytes]:
    """Returns every datagram until none comes for the socket's timeout."""
    received = []
    try:
        while True:
            received.append(udp.recv(65_535))
    except TimeoutError:
        return received
