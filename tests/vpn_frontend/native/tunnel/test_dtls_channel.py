# SPDX-License-Identifier: GPL-3.0-or-later
"""DTLS of a running gateway once it is up: packets both ways, silence, changed ports, forged and repeated records."""

from __future__ import annotations

import secrets
import select
import socket
import struct

import pytest

from tests.vpn_frontend.native.dtls_lab import (
    DATA,
    DISCONNECT,
    DPD_REQUEST,
    DPD_RESPONSE,
    EVERY_WAY,
    PSK,
    QUIET,
    RESUMPTION,
)
from vpn_frontend.gateway.interface import (
    Cause,
    DtlsDown,
    DtlsPsk,
    DtlsUp,
    Offload,
    SessionClosed,
)


@pytest.mark.parametrize("way", EVERY_WAY)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_packets_travel_both_ways_over_dtls(start_lab, wire, way, address):
    lab = start_lab(address=address)
    _, session, client = lab.up(way)
    assert client.resumed == (way == RESUMPTION)
    up, down = wire.ipv4(wire.own4, wire.outside4, b"u" * 1000), wire.ipv4(wire.outside4, wire.own4, b"d" * 1380)
    client.send(DATA + up)
    assert lab.bench.tun[0].recv(65536) == up
    lab.bench.tun[0].send(down)
    assert client.read() == DATA + down
    lab.gateway.close_session(session, b"")
    counters = lab.bench.wait(SessionClosed).counters
    assert (
        (counters.rx_packets, counters.rx_bytes) == (counters.dtls_rx_packets, counters.dtls_rx_bytes) == (1, len(up))
    )
    assert (
        (counters.tx_packets, counters.tx_bytes) == (counters.dtls_tx_packets, counters.dtls_tx_bytes) == (1, len(down))
    )


def test_a_session_follows_its_datagrams_to_the_worker_they_come_in_at(start_lab, wire):
    lab = start_lab(workers=3)
    moved = 0
    for _ in range(32):  # the kernel spreads them by their ports
        tls, session, client = lab.up(ipv4=wire.own4, ipv6=None)
        up, down = wire.ipv4(wire.own4, wire.outside4, b"u" * 600), wire.ipv4(wire.outside4, wire.own4, b"d" * 600)
        client.send(DATA + up)
        home = lab.queue_with(up)
        moved += home != session & 0xFF
        for queue in lab.bench.tun:  # whichever the kernel chose, the packet finds its session
            queue.send(down)
            assert client.read() == DATA + down
        tls.send(wire.frame(wire.data, up))  # the connection came along
        assert lab.queue_with(up) == home
        lab.bench.tun[0].send(down)
        assert tls.read_frame() == (wire.data, down)
        lab.gateway.close_session(session, wire.frame(wire.disconnect, b"\x01end"))
        assert tls.read_frame() == (wire.disconnect, b"\x01end")
        counters = lab.bench.wait(SessionClosed).counters
        assert (counters.rx_packets, counters.tx_packets) == (2, 4)
        if moved > 1:
            break
    assert lab.stat("sessions_moved") == moved > 0


def test_a_session_that_moved_is_found_by_new_connections_and_new_names(start_lab, wire):
    lab = start_lab(workers=2)
    packet = wire.ipv4(wire.own4, wire.outside4)
    while lab.stat("sessions_moved") == 0:
        tls, session, client = lab.up(ipv4=wire.own4, ipv6=None)
        client.send(DATA + packet)
        if lab.queue_with(packet) == session & 0xFF:
            lab.gateway.close_session(session, b"")
            lab.bench.wait(SessionClosed)
    name, secret = secrets.token_bytes(32), secrets.token_bytes(32)
    again, up = lab.bench.connected()
    lab.gateway.set_dtls(session, DtlsPsk(name, secret))
    lab.gateway.attach(session, up.connection_id, b"AGAIN", b"")
    assert again.read(5) == b"AGAIN"
    assert tls.read_frame()[0] == 5  # DISCONNECT: replaced
    assert tls.at_end()
    second = lab.client(PSK, name, secret)
    assert second.connect()
    second.send(DATA + packet)
    lab.queue_with(packet)
    lab.bench.tun[0].send(wire.ipv4(wire.outside4, wire.own4))
    assert second.read() == DATA + wire.ipv4(wire.outside4, wire.own4)


def test_sessions_that_end_while_they_move_leave_nothing_behind(start_lab, wire):
    lab = start_lab(workers=4, max_sessions=4)
    packet = wire.ipv4(wire.outside4, wire.own4)
    for _ in range(24):  # six times as many as there are places
        tls, session, client = lab.tunnel(ipv4=wire.own4, ipv6=None)
        assert client.connect()  # its last flight may be on its way between two workers yet
        for queue in lab.bench.tun:
            queue.send(packet)
        lab.gateway.close_session(session, b"")
        lab.bench.wait(SessionClosed, lambda event, ended=session: event.session == ended)
        assert tls.at_end()
        client.socket.close()


def test_probes_are_echoed_with_their_payload(lab):
    _, _, client = lab.up()
    for size in (0, 1, 576, 1400):
        client.send(DPD_REQUEST + b"\x5a" * size)
        assert client.read() == DPD_RESPONSE + b"\x5a" * size


def test_the_client_falls_back_to_tls_and_returns(lab, wire):
    tls, _, client = lab.up()
    up, down = wire.ipv4(wire.own4, wire.outside4), wire.ipv4(wire.outside4, wire.own4)
    tls.send(wire.frame(wire.data, up))
    assert lab.bench.tun[0].recv(65536) == up
    lab.bench.tun[0].send(down)
    assert tls.read_frame() == (wire.data, down)
    client.send(DATA + up)
    assert lab.bench.tun[0].recv(65536) == up
    lab.bench.tun[0].send(down)
    assert client.read() == DATA + down


def test_silence_ends_dtls_within_one_dpd_period_and_tls_goes_on(lab, wire):
    tls, session, client = lab.up(dpd=2)
    while not select.select([lab.gateway.fileno()], [], [], QUIET)[0]:
        tls.send(wire.frame(wire.keepalive))
    assert lab.bench.wait(DtlsDown) == DtlsDown(session, Cause.DPD)
    tls.send(wire.frame(wire.keepalive))
    lab.bench.tun[0].send(packet := wire.ipv4(wire.outside4, wire.own4))
    while (got := tls.read_frame())[0] == wire.dpd_request:
        pass
    assert got == (wire.data, packet)
    assert client.read() == DPD_REQUEST
    again = lab.client(PSK, client.name, client.secret)
    assert again.connect()
    lab.bench.wait(DtlsUp)


def test_the_session_ends_with_its_dtls(lab, wire):
    _, session, client = lab.up()
    lab.gateway.close_session(session, b"")
    lab.bench.wait(SessionClosed)
    client.send(DATA + wire.ipv4(wire.own4, wire.outside4))
    lab.bench.wait_stat("dtls_unmatched")


def test_forged_records_change_nothing_on_a_live_connection(lab, wire):
    _, _, client = lab.up()
    up = wire.ipv4(wire.own4, wire.outside4)
    client.send(DATA + up)
    assert lab.bench.tun[0].recv(65536) == up
    sealed = client.seal(DATA + up)
    clear = [
        bytes([kind]) + b"\xfe\xfd" + struct.pack("!HHIH", 0, 0, 77, len(body)) + body
        for kind, body in [
            (21, b"\x02\x28"),
            (21, b"\x01\x00"),
            (20, b"\x01"),
            (22, b"\x00" * 12),
            (22, b"\x14" + bytes(40)),
        ]
    ]
    for forged in clear:
        client.socket.send(forged)
    assert lab.bench.wait_stat("dtls_clear", len(clear)) == len(clear)
    for at in range(len(sealed)):
        client.socket.send(sealed[:at] + bytes([sealed[at] ^ 0x55]) + sealed[at + 1 :])
    for cut in range(len(sealed)):
        client.socket.send(sealed[:cut])
    for sequence in (0, 1, 2**32, 2**47):
        client.socket.send(
            b"\x17\xfe\xfd\x00\x01" + sequence.to_bytes(6, "big") + b"\x00\x40" + secrets.token_bytes(64)
        )
    client.socket.send(b"\x17\xfe\xfd\x00\x02" + bytes(6) + b"\x00\x40" + secrets.token_bytes(64))
    client.socket.send(sealed)
    assert lab.bench.tun[0].recv(65536) == up
    client.send(DPD_REQUEST)
    assert client.read() == DPD_RESPONSE
    assert lab.stat("dtls_handshakes_done") == 1


def test_a_replayed_record_is_taken_once_and_reordered_ones_all(lab, wire):
    _, _, client = lab.up()
    packets = [wire.ipv4(wire.own4, wire.outside4, struct.pack("!I", n) * 8) for n in range(1500)]
    sealed = [client.seal(DATA + packet) for packet in packets]
    late, rest = sealed[0], sealed[1:]
    for datagram in rest[::-1][:200] + rest[: len(rest) - 200]:
        client.socket.send(datagram)
        assert lab.bench.tun[0].recv(65536)
    client.socket.send(late)  # 1,500 records late: inside the window
    assert lab.bench.tun[0].recv(65536) == packets[0]
    for datagram in (sealed[0], sealed[700], sealed[-1]):
        client.socket.send(datagram)
    client.send(DPD_REQUEST)
    assert client.read() == DPD_RESPONSE
    assert lab.stat("rx_spoofed") == 0
    lab.bench.tun[0].settimeout(QUIET)
    with pytest.raises(TimeoutError):
        lab.bench.tun[0].recv(65536)


def test_a_client_whose_port_changes_is_followed(lab, wire):
    _, _, client = lab.up()
    client.move()
    up, down = wire.ipv4(wire.own4, wire.outside4), wire.ipv4(wire.outside4, wire.own4)
    client.send(DATA + up)
    assert lab.bench.tun[0].recv(65536) == up
    assert lab.bench.wait_stat("dtls_moved") == 1
    lab.bench.tun[0].send(down)
    assert client.read() == DATA + down


def test_a_replayed_record_from_another_port_moves_no_client(lab, wire):
    _, _, client = lab.up()
    up, down = wire.ipv4(wire.own4, wire.outside4), wire.ipv4(wire.outside4, wire.own4)
    sealed = client.seal(DATA + up)
    client.socket.send(sealed)
    assert lab.bench.tun[0].recv(65536) == up
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        thief.sendto(sealed, ("127.0.0.1", lab.udp_port))
        thief.sendto(sealed[:13] + secrets.token_bytes(len(sealed) - 13), ("127.0.0.1", lab.udp_port))
        lab.bench.wait_stat("dtls_unmatched", 2)
    lab.bench.tun[0].send(down)
    assert client.read() == DATA + down


def test_a_new_tls_channel_ends_dtls_of_the_one_before(lab, wire):
    _, session, client = lab.up()
    tls, up = lab.bench.connected()
    lab.gateway.attach(session, up.connection_id, b"HEAD", b"")
    assert tls.read(4) == b"HEAD"
    assert lab.bench.wait(DtlsDown) == DtlsDown(session, Cause.REPLACED)
    lab.bench.tun[0].send(down := wire.ipv4(wire.outside4, wire.own4))
    assert tls.read_frame() == (wire.data, down)
    assert not lab.client(PSK, client.name, client.secret).connect(seconds=0.8)


def test_inner_packets_of_others_are_dropped_over_dtls_too(lab, wire):
    _, _, client = lab.up()
    client.send(DATA + wire.ipv4(wire.other4, wire.outside4))
    client.send(DATA)
    client.send(b"\x63junk")
    lab.bench.wait_stat("frames_unknown")
    assert (lab.stat("rx_spoofed"), lab.stat("rx_malformed")) == (1, 1)


def test_a_disconnect_over_dtls_ends_dtls_only(lab, wire):
    tls, session, client = lab.up()
    client.send(DISCONNECT + b"\xb0bye")
    assert lab.bench.wait(DtlsDown) == DtlsDown(session, Cause.PEER_CLOSED)
    lab.bench.tun[0].send(down := wire.ipv4(wire.outside4, wire.own4))
    assert tls.read_frame() == (wire.data, down)


@pytest.mark.parametrize("offloads", [Offload.ALL, Offload(0)])
def test_a_burst_leaves_and_arrives_whole_and_in_order(start_lab, wire, offloads):
    lab = start_lab(offloads=offloads)
    _, _, client = lab.up()
    sizes = [1300] * 40 + [200, 1300, 1300, 20, 20, 1372]
    down = [wire.ipv4(wire.outside4, wire.own4, struct.pack("!I", n) + bytes(size - 4)) for n, size in enumerate(sizes)]
    for packet in down:
        lab.bench.tun[0].send(packet)
    assert [client.read() for _ in down] == [DATA + packet for packet in down]
    assert lab.stat("dtls_datagrams_lost") == 0
    up = [wire.ipv4(wire.own4, wire.outside4, struct.pack("!I", n) + bytes(size - 4)) for n, size in enumerate(sizes)]
    for packet in up:
        client.send(DATA + packet)
    assert [lab.bench.tun[0].recv(65536) for _ in up] == up


def test_what_no_dtls_client_would_send_is_counted(lab):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.settimeout(QUIET)
        other.connect(("127.0.0.1", lab.udp_port))
        for junk in (
            b"",
            b"\x00",
            b"\x16\xfe\xfd" + bytes(10),
            secrets.token_bytes(1400)[:-1] + b"\0",
            b"\x17\xfe\xfd" + bytes(60),
        ):
            other.send(junk)
        lab.bench.wait_stat("dtls_garbage", 3)
        with pytest.raises((TimeoutError, ConnectionRefusedError)):
            other.recv(2000)
