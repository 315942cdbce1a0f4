# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections before the tunnel: policy, good and bad handshakes, data, limits."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import struct
import time
from dataclasses import replace
from ipaddress import ip_address

import pytest

from lab.timeouts import TIMEOUT
from vpn_frontend.gateway.certificates.server_certificate import parse_certificate
from vpn_frontend.gateway.interface import (
    Cause,
    ChannelDown,
    ChannelUp,
    ConnectionClosed,
    ConnectionData,
    ConnectionUp,
    GatewayError,
    TlsHost,
)
from vpn_frontend.gateway.sockets import open_datagram_sockets
from vpn_frontend.settings import Endpoint


@pytest.mark.parametrize("pair", ["ecdsa_pair", "rsa_pair"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_handshake_tells_the_facts(start, request, version, pair):
    bench = start(pair=request.getfixturevalue(pair))
    client, up = bench.connected(version=version)
    assert up.tls_version == client.tls.version()
    assert client.tls.selected_alpn_protocol() == "http/1.1"
    assert (str(up.peer), up.peer_port) == client.raw_name
    assert (up.local_port, up.server_name, up.resumed) == (bench.port, "vpn.test", False)
    assert "AES256-GCM" in up.cipher.replace("_", "").replace("AES256GCM", "AES256-GCM")
    assert len(up.exporter_key) == 32
    assert any(up.exporter_key)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_binds_a_key_to_the_connection_is_the_client_s_finished(bench, version):
    client, up = bench.connected(version=version)
    assert up.bindings[-1] == client.tls.get_channel_binding("tls-unique")
    assert len(up.bindings) == (2 if version == ssl.TLSVersion.TLSv1_3 else 1)


def test_in_tls_1_3_it_is_the_exporter_of_rfc_9266_too(bench, openssl):
    label = ("-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32")
    printed = openssl(bench.port, "-tls1_3", *label, says="x")
    exported = re.search(r"Keying material: ([0-9A-F]{64})", printed)
    assert exported is not None, printed
    assert bench.wait(ConnectionUp).bindings[0] == bytes.fromhex(exported[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_one_listener_serves_both_families(start, gate, host):
    bench = start(listen="::")
    client, up = bench.connected(host=host)
    assert (str(up.peer), up.peer_port) == client.raw_name[:2]
    assert gate.last_request().address == (b"\0" * 10 + b"\xff\xff" + up.peer.packed)[-16:]
    client.send(b"hello")
    assert bench.read_from(up.connection_id, 5) == b"hello"


def test_who_only_shakes_hands_is_not_told_of(bench):
    for _ in range(3):
        bench.client().close()
    bench.wait_stat("handshakes_done", 3)
    client, up = bench.connected()
    assert bench.seen == []
    client.send(b"hello")
    assert bench.read_from(up.connection_id, 5) == b"hello"


def test_who_shakes_hands_and_stays_silent_is_closed(start):
    bench = start(conversation_timeout=0.3)
    assert bench.client().at_end()
    assert bench.gateway.events() == []


def test_older_versions_are_refused(bench):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        bench.client(context=context)
    assert bench.wait(ConnectionClosed).cause == Cause.HANDSHAKE_FAILED


def leave_before_release(bench, connections):
    """Whether one of the answers that are sent to all while commands are held leaves at once. All come after that."""
    bench.gateway.hold()
    for _, up in connections:
        bench.gateway.send(up.connection_id, b"answer")
    early = select.select([client.tls for client, _ in connections], [], [], 0.05)[0]
    bench.gateway.release()
    assert [client.read(6) for client, _ in connections] == [b"answer"] * 6
    return bool(early)


def test_commands_that_are_held_leave_together(start):
    bench = start(workers=2)
    connections = [bench.connected(version=ssl.TLSVersion.TLSv1_2) for _ in range(6)]
    # A worker that still has an earlier message to handle takes what it finds then: not each time.
    assert not all(leave_before_release(bench, connections) for _ in range(20))
    bench.gateway.send(connections[0][1].connection_id, b"alone")
    assert connections[0][0].read(5) == b"alone"


def test_a_gateway_that_is_held_closes(start):
    bench = start(workers=2)
    client, up = bench.connected()
    bench.gateway.hold()
    bench.gateway.send(up.connection_id, b"answer")
    bench.gateway.close()
    bench.gateway.release()
    client.close()


def test_conversation_goes_both_ways(bench):
    client, up = bench.connected()
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    assert bench.read_from(up.connection_id, 18) == b"GET / HTTP/1.1\r\n\r\n"
    answer = bytes(range(256)) * 800  # a dozen records
    bench.gateway.send(up.connection_id, answer)
    assert client.read(len(answer)) == answer
    bench.gateway.send(up.connection_id, b"last words")
    bench.gateway.close_connection(up.connection_id)
    assert client.read(10) == b"last words"
    assert client.at_end()
    client.close()
    assert bench.wait(ConnectionClosed) == ConnectionClosed(up.connection_id, Cause.LOCAL)


def _fill(client, block, most):
    """Sends until the socket's buffers are full; how many bytes of whole blocks that were."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < most:
            client.send(block)
            sent += len(block)
    return sent


def test_reading_stops_while_python_does_not_take_it(bench, wire):
    other, _ = bench.tunnel()
    client, up = bench.connected()
    client.raw_timeout(0.3)
    sent, block = 0, b"u" * 65536
    while more := _fill(client, block, 1 << 26):  # not read
        sent += more
        assert sent < 1 << 26
        for _ in range(20):  # turns in which the worker would have read more
            other.send(wire.frame(wire.dpd_request))
            assert other.read_frame() == (wire.dpd_response, b"")
    waiting = [event for event in bench.gateway.events() if isinstance(event, ConnectionData)]
    assert 65536 - 16384 <= sum(len(event.data) for event in waiting) <= 65536 + 16384
    taken = sum(len(event.data) for event in waiting)
    while taken < sent:  # all that was sent arrives once it is read
        taken += len(bench.wait(ConnectionData).data)
    assert up.connection_id == waiting[0].connection_id


def test_records_of_one_byte_fill_no_memory(start):
    """One event per record would cost twenty times what the record costs its sender."""
    bench = start(conversation_timeout=600.0)  # which sending them may take on a busy machine
    client, up = bench.connected()
    client.raw_timeout(0.3)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 1 << 18:
            client.send(b"x")
            sent += 1
    assert 1000 < sent < 1 << 18, "not read, so it must not all be accepted"
    assert bench.gateway.stats()["links_stalled"] == 0
    waiting = [event for event in bench.gateway.events() if isinstance(event, ConnectionData)]
    assert len(waiting) <= 65536 // 400, "an event of 400 bytes and more for each"
    data = b"".join(event.data for event in waiting)
    while len(data) < sent:
        data += bench.wait(ConnectionData, lambda event: event.connection_id == up.connection_id).data
    assert data == b"x" * sent


def test_a_refused_peer_gets_not_a_byte(bench, gate):
    gate.answer(gate.CONNECT, gate.REJECT)
    with socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT) as raw:
        local = raw.getsockname()
        assert raw.recv(1) == b""
    bench.wait_stat("links_refused")
    request = gate.last_request()
    assert request.address == bytes(10) + b"\xff\xff" + socket.inet_aton(local[0])
    assert (request.port, request.local_port) == (local[1], bench.port)
    assert (request.protocol, request.verified) == (socket.IPPROTO_TCP, 1)
    assert abs(request.now / 1e9 - time.monotonic()) < 60
    gate.answer(gate.CONNECT, gate.RATE_LIMITED)
    with socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT) as raw:
        bench.wait_stat("links_refused", 2)
    gate.answer(gate.CONNECT, gate.ACCEPT)
    bench.connected()
    assert bench.gateway.events() == []


def test_a_health_probe_is_no_offence(bench, gate):
    for _ in range(3):
        socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT).close()
    bench.wait_stat("health_probes", 3)
    assert gate.asked(gate.TLS_HANDSHAKE_FAILED) == 0
    assert bench.gateway.events() == []


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 64, b"\xff" * 5000, b"\x16\x03\x01\x00\x05hello",
     b"\x16\x03\x01\xff\xff" + b"\x01" * 1000, b"SSH-2.0-OpenSSH_9.6\r\n", b"\x80\x2e\x01\x03\x01"],
)  # fmt: skip
def test_garbage_is_told_to_the_policy(bench, gate, garbage):
    with socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT) as raw:
        raw.sendall(garbage)
        raw.shutdown(socket.SHUT_WR)
        assert bench.wait(ConnectionClosed).cause in {Cause.HANDSHAKE_FAILED, Cause.PEER_CLOSED}
    bench.wait_stat("links_accepted")
    assert gate.asked(gate.TLS_HANDSHAKE_FAILED) == bench.gateway.stats()["handshakes_failed"]
    bench.connected()


def test_the_policy_hears_of_a_failed_handshake_once(bench, gate):
    with socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert bench.wait(ConnectionClosed).cause == Cause.HANDSHAKE_FAILED
    assert gate.asked(gate.TLS_HANDSHAKE_FAILED) == 1
    assert gate.last_request().verified == 1


def _client_hello(server_name="vpn.test"):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def test_truncated_hellos_end_without_harm(bench):
    hello = _client_hello()
    for size in range(1, len(hello), 7):
        with socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT) as raw:
            raw.sendall(hello[:size])
    bench.connected()


def test_corrupted_hellos_end_without_harm(bench):
    hello = _client_hello()
    for position in range(len(hello)):
        damaged = bytearray(hello)
        damaged[position] ^= 0xFF
        with socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT) as raw:
            raw.sendall(damaged)
    bench.connected()


def test_a_hello_sent_bytewise_is_answered(bench):
    with socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in _client_hello():
            raw.send(bytes([byte]))
        assert raw.recv(5)[:1] == b"\x16"


def test_half_open_handshakes_end_at_their_deadline_and_others_go_on(start):
    bench = start(handshake_timeout=3.0)
    hello = _client_hello()
    idle = [socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT) for _ in range(100)]
    slow = [socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT) for _ in range(100)]
    for raw in slow:
        raw.sendall(hello[:100])
    client, up = bench.connected()
    client.send(b"still here")
    assert bench.read_from(up.connection_id, 10) == b"still here"
    bench.wait_stat("handshakes_timed_out", 200)
    for raw in idle + slow:
        assert raw.recv(1) == b""
        raw.close()
    client.send(b"and now")
    assert bench.read_from(up.connection_id, 7) == b"and now"


def _say_at_once(bench, data):
    """A TLS 1.3 client that sends ``data`` with the end of its handshake: nothing passes between them."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context.wrap_bio(incoming, outgoing)
    raw = socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            raw.sendall(outgoing.read())
            incoming.write(raw.recv(65536))
        else:
            break
    tls.write(data)
    raw.sendall(outgoing.read())
    return raw


def test_a_silent_conversation_ends(start):
    bench = start(conversation_timeout=0.3)
    raw = _say_at_once(bench, b"hello")
    up = bench.wait(ConnectionUp)
    assert bench.wait(ConnectionClosed) == ConnectionClosed(up.connection_id, Cause.TIMEOUT)
    while raw.recv(65536):
        pass
    raw.close()


def test_links_are_limited_and_places_come_back(start, wire):
    bench = start(max_connections=2)
    tunnels = [bench.tunnel(), bench.tunnel(ipv4=wire.other4, ipv6=None)]
    with socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT) as raw:
        bench.wait_stat("links_over_limit")
        assert raw.recv(1) == b""
    for client, _ in tunnels:
        client.close()
    for _ in tunnels:
        bench.wait(ChannelDown)
    for _ in range(2):
        bench.connected()


@pytest.mark.parametrize("handshake", [False, True], ids=["silent", "idle"])
def test_a_few_sources_do_not_hold_the_places_of_all(start, handshake):
    bench = start(max_connections=64)
    crowd = []
    for number in range(80):
        raw = socket.create_connection(
            ("127.0.0.1", bench.port), timeout=TIMEOUT, source_address=(f"127.0.0.{2 + number % 4}", 0)
        )
        if handshake:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            raw = context.wrap_socket(raw)
            bench.wait_stat("handshakes_done", number + 1)
        crowd.append(raw)
    client, up = bench.connected()
    client.send(b"hello")
    assert bench.read_from(up.connection_id, 5) == b"hello"
    stats = bench.gateway.stats()
    assert stats["links_over_limit"] == 0
    assert stats["links_evicted"] >= 80 - 64
    if handshake:
        closed = bench.wait(ConnectionClosed)
        assert (closed.cause, str(closed.peer)[:8]) == (Cause.EVICTED, "127.0.0.")
    for raw in crowd:
        raw.close()


def test_a_peer_that_stops_reading_is_cut_and_others_lose_nothing(start, wire):
    bench = start(write_timeout=2.0)
    stalled, session = bench.tunnel()
    other, _ = bench.tunnel(ipv4=wire.other4, ipv6=None)
    packet = wire.ipv4(wire.outside4, wire.own4, b"s" * 1300)
    while bench.gateway.stats()["tx_queue_full"] == 0:
        bench.tun[0].send(packet)
    mine = wire.ipv4(wire.outside4, wire.other4, b"o" * 500)
    while not select.select([bench.gateway.fileno()], [], [], 0)[0]:
        bench.tun[0].send(packet)
        bench.tun[0].send(mine)
        assert other.read_frame() == (wire.data, mine)
    down = bench.wait(ChannelDown)
    assert (down.session, down.cause) == (session, Cause.STALLED)
    assert down.counters.tx_dropped == bench.gateway.stats()["tx_queue_full"]
    assert stalled


def test_certificate_is_replaced_for_new_handshakes_only(bench, rsa_pair, ecdsa_pair):
    old, up = bench.connected()
    before = old.tls.getpeercert(binary_form=True)
    known = parse_certificate(*rsa_pair)
    with pytest.raises(GatewayError, match="does not belong"):
        bench.gateway.set_hosts((TlsHost((replace(known, key=ecdsa_pair[1]),)),))
    with pytest.raises(GatewayError, match="certificate"):
        bench.gateway.set_hosts((TlsHost((replace(known, chain=b"junk"),)),))
    assert bench.connected()[0].tls.getpeercert(binary_form=True) == before
    bench.gateway.set_hosts((TlsHost((known,)),))
    assert bench.connected()[0].tls.getpeercert(binary_form=True) != before
    old.send(b"old connection")
    assert bench.read_from(up.connection_id, 14) == b"old connection"


def test_after_stop_accepting_connections_live_and_none_is_accepted(bench):
    client, up = bench.connected()
    bench.gateway.stop_accepting()
    bench.settle()
    client.send(b"ping")
    assert bench.read_from(up.connection_id, 4) == b"ping"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT)


def test_while_accepting_is_paused_connections_live_and_none_is_accepted(bench):
    client, up = bench.connected()
    for _ in range(2):
        bench.gateway.pause_accepting()
        bench.gateway.pause_accepting()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT)
        bench.settle()
        client.send(b"ping")
        assert bench.read_from(up.connection_id, 4) == b"ping"
        bench.gateway.resume_accepting()
        bench.connected()
    bench.gateway.pause_accepting()
    bench.gateway.stop_accepting()
    bench.gateway.resume_accepting()
    bench.settle()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT)


def test_commands_for_connections_that_are_gone_are_ignored(bench):
    client, up = bench.connected()
    client.close()
    bench.wait(ConnectionClosed)
    bench.gateway.send(up.connection_id, b"x")
    bench.gateway.close_connection(up.connection_id)
    session = bench.gateway.open_session(up.connection_id, bench.parameters())
    bench.gateway.attach(session, up.connection_id, b"x", b"")
    bench.gateway.send(0xFFFF_FFFF_FFFF_FFFF, b"x")
    bench.gateway.close_session(0xFFFF_FFFF_FFFF_FFFF, b"x")
    bench.connected()
    assert not [event for event in bench.seen if isinstance(event, ChannelUp)]


def test_not_a_byte_after_close(start, wire):
    bench = start()
    client, _ = bench.tunnel()
    bench.gateway.close()
    bench.gateway.close()
    assert client.at_end()
    with pytest.raises(GatewayError, match="closed"):
        bench.gateway.events()


def test_a_gate_of_another_version_is_refused(start, gate):
    gate.set_abi(99)
    with pytest.raises(GatewayError, match="another version"):
        start()


def test_a_peer_that_resets_within_the_handshake_is_forgotten(bench):
    raw = socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT)
    raw.sendall(_client_hello())
    assert raw.recv(5)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
    assert bench.wait(ConnectionClosed).cause == Cause.PEER_RESET
    assert not [event for event in bench.seen if isinstance(event, ConnectionUp)]


def test_sixteen_addresses_are_served(start):
    """As many as ``vpn.listen`` may have."""
    addresses = [f"127.0.0.{number}" for number in range(1, 17)]
    bench = start(
        listen=" ".join(addresses), udp=open_datagram_sockets([Endpoint(ip_address(one), 0) for one in addresses], 1)
    )
    for address in (addresses[0], addresses[-1]):
        _, up = bench.connected(host=address)
        assert str(up.local_address) == address
