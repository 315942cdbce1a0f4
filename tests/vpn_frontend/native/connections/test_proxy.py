# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections of listed proxies: the policy is asked about the client that the header names, never about the proxy."""

import socket
import ssl
from ipaddress import ip_address, ip_network

import pytest

from lab.services.proxy import LOCAL, SIGNATURE, header_v1, header_v2
from lab.timeouts import TIMEOUT
from vpn_frontend.gateway.interface import ConnectionUp, ProxyRefused

CLIENT, SERVER = ("198.51.100.7", 50_000), ("192.0.2.1", 443)
CLIENT6, SERVER6 = ("2001:db8::7", 50_000), ("2001:db8::1", 443)
LOOPBACK = ip_address("127.0.0.1")


@pytest.fixture
def proxied(start):
    return start(proxies=(ip_network("127.0.0.0/24"), ip_network("2001:db8:1::/48")))


def say(bench, *pieces):
    """A connection that sends ``pieces``, each in a segment of its own."""
    stream = socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces:
        stream.sendall(piece)
    return stream


def shake_hands(stream):
    """Returns the client, which has said a byte, so that the gateway tells of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = context.wrap_socket(stream, server_hostname="vpn.test")
    client.sendall(b"x")
    return client


def is_closed(stream):
    try:
        return stream.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    ("header", "client", "server"),
    [
        (header_v1(CLIENT, SERVER), CLIENT, SERVER),
        (header_v1(CLIENT6, SERVER6), CLIENT6, SERVER6),
        (header_v2(CLIENT, SERVER), CLIENT, SERVER),
        (header_v2(CLIENT6, SERVER6, b"\x02\0\x08vpn.test"), CLIENT6, SERVER6),
    ],
    ids=["v1-ipv4", "v1-ipv6", "v2-ipv4", "v2-ipv6-with-tlv"],
)
def test_the_client_is_the_peer(proxied, gate, header, client, server):
    with shake_hands(say(proxied, header)):
        up = proxied.wait(ConnectionUp)
    assert (str(up.peer), up.peer_port) == client
    assert str(up.local_address) == server[0]
    assert gate.asked(gate.CONNECT) == 1
    asked = gate.last_request()
    packed = ip_address(client[0]).packed
    assert asked.address.endswith(packed)
    assert asked.port == client[1]


def test_a_header_in_single_bytes_and_one_with_the_hello(proxied):
    header = header_v2(CLIENT, SERVER)
    with shake_hands(say(proxied, *(bytes([byte]) for byte in header))):
        assert proxied.wait(ConnectionUp).peer == ip_address(CLIENT[0])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context.wrap_bio(incoming, outgoing, server_hostname="vpn.test")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with say(proxied, header[:20], header[20:] + outgoing.read()) as stream:
        assert stream.recv(1) == b"\x16"


def test_the_policy_refuses_the_client_without_a_byte(proxied, gate):
    gate.answer(gate.CONNECT, gate.REJECT)
    with say(proxied, header_v2(CLIENT, SERVER)) as stream:
        assert is_closed(stream)
    assert proxied.wait_stat("links_refused") == 1
    assert gate.asked(gate.CONNECT) == 1
    assert proxied.gateway.stats()["handshakes_failed"] == 0


def test_a_failed_handshake_counts_for_the_client(proxied, gate):
    with say(proxied, header_v2(CLIENT, SERVER), b"GET / HTTP/1.1\r\n\r\n") as stream:
        while stream.recv(64):
            pass
    assert gate.asked(gate.TLS_HANDSHAKE_FAILED) == 1
    assert gate.last_request().address.endswith(ip_address(CLIENT[0]).packed)


def test_the_proxy_s_own_connection_is_judged_by_its_address(proxied, gate):
    with shake_hands(say(proxied, header_v2(CLIENT, SERVER, command=LOCAL))):
        assert proxied.wait(ConnectionUp).peer == LOOPBACK
    assert gate.asked(gate.CONNECT) == 1


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"PROXY UNKNOWN\r\n", "a client without an address"),
        (SIGNATURE + b"\x21\x31\0\xd8", "a client that does not come over TCP"),
        (SIGNATURE + b"\x21\x11\xff\xff", "a header that is too long"),
        (header_v2(CLIENT, SERVER, b"\x02\0\x08short"), "a malformed TLV"),
        (b"PROXY TCP4 " + b"1" * 120, "a line without an end"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc", "no header"),
    ],
    ids=["unknown", "unix", "too long", "tlv", "endless", "no header"],
)
def test_a_header_that_names_no_client_ends_the_connection(proxied, gate, sent, problem):
    with say(proxied, sent) as stream:
        assert is_closed(stream)
    assert proxied.wait(ProxyRefused) == ProxyRefused(LOOPBACK, problem)
    assert proxied.gateway.stats()["proxy_headers_refused"] == 1
    assert (gate.asked(gate.CONNECT), gate.asked(gate.TLS_HANDSHAKE_FAILED)) == (0, 0)


def test_a_header_that_is_cut_off_is_reported_and_a_health_check_is_not(proxied):
    say(proxied, header_v2(CLIENT, SERVER)[:17]).close()
    assert proxied.wait(ProxyRefused).problem == "a header that is cut off"
    say(proxied).close()
    proxied.wait_stat("health_probes")
    assert proxied.gateway.stats()["proxy_headers_refused"] == 1


def test_a_header_that_does_not_come_in_time_ends_the_connection(start, gate):
    bench = start(proxies=(ip_network("127.0.0.1/32"),), handshake_timeout=0.2)
    with say(bench, header_v2(CLIENT, SERVER)[:17]) as stream:
        assert is_closed(stream)
    bench.wait_stat("proxy_headers_refused")
    assert gate.asked(gate.CONNECT) == 0


def test_clients_of_one_proxy_share_no_place(start):
    """A sixteenth of the places is for one source: here one place each."""
    bench = start(proxies=(ip_network("127.0.0.1/32"),), max_connections=16)
    streams = [shake_hands(say(bench, header_v2((f"198.51.100.{n}", 50_000), SERVER))) for n in range(8)]
    assert {str(bench.wait(ConnectionUp).peer) for _ in streams} == {f"198.51.100.{n}" for n in range(8)}
    assert bench.gateway.stats()["links_evicted"] == 0
    for stream in streams:
        stream.close()


def test_a_stranger_s_header_is_no_tls(start, gate):
    bench = start(proxies=(ip_network("192.0.2.0/24"),))
    with say(bench, header_v2(CLIENT, SERVER)) as stream:
        while stream.recv(64):
            pass
    assert bench.gateway.stats()["handshakes_failed"] == 1
    assert gate.last_request().address.endswith(LOOPBACK.packed)
