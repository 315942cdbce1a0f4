# SPDX-License-Identifier: GPL-3.0-or-later
"""DTLS of a running gateway, against a client whose datagrams the test carries itself.

client (sans-IO, dtls_client.c) --datagrams, lost, doubled, forged--> UDP socket of a worker --> "TUN" socket pair
"""

from __future__ import annotations

import importlib.util
import secrets
import select
import socket
import struct
import subprocess
import time
from ipaddress import ip_address
from pathlib import Path

import cffi
import pytest

from vpn_frontend.gateway import (
    DTLS12_SUITES,
    Cause,
    ChannelUp,
    DtlsDown,
    DtlsPsk,
    DtlsResumption,
    DtlsUp,
    GatewayError,
    Offload,
    SessionClosed,
)
from vpn_frontend.listeners import open_datagram_sockets
from vpn_frontend.settings import Endpoint

ROOT = Path(__file__).parents[3]
PSK, RESUMPTION, PSK13 = 1, 2, 3
PSK_SUITES = b"PSK-AES256-GCM-SHA384:PSK-AES128-GCM-SHA256"
PATIENCE = 10.0  # seconds until a test gives a packet up
QUIET = 0.3  # seconds in which an answer would have come
DATA, DPD_REQUEST, DPD_RESPONSE, DISCONNECT = b"\x00", b"\x03", b"\x04", b"\x05"


@pytest.fixture(scope="session")
def dtls_library(tmp_path_factory):
    """The client in C, compiled once against the library of the gateway."""
    prefix = subprocess.run(
        [ROOT / "vpn_frontend/native/wolfssl.sh"], check=True, capture_output=True, text=True, timeout=600
    ).stdout.strip()
    ffi = cffi.FFI()
    ffi.cdef(
        "typedef struct dc dc; dc *dc_new(int, const uint8_t *, const uint8_t *, const char *); void dc_free(dc *);"
        "int dc_connect(dc *, const uint8_t *, int); int dc_take(dc *, uint8_t *);"
        "int dc_seal(dc *, const uint8_t *, int);"
        "int dc_open(dc *, const uint8_t *, int, uint8_t *, int); int dc_timeout(dc *); int dc_resumed(dc *);"
    )
    ffi.set_source(
        "_dtls_client",
        Path(__file__).with_name("dtls_client.c").read_text(encoding="utf-8"),
        include_dirs=[f"{prefix}/include", str(Path(__file__).parent)],
        extra_objects=[f"{prefix}/lib/libwolfssl.a"],
        libraries=["m"],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LD_PRELOAD", raising=False)  # a sanitizer's library is not for the compiler
        path = ffi.compile(tmpdir=str(tmp_path_factory.mktemp("dtls")))
    spec = importlib.util.spec_from_file_location("_dtls_client", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class DtlsClient:
    """One DTLS connection and the UDP socket that it uses at the moment."""

    def __init__(self, library, port, way, name, secret, ciphers, family=socket.AF_INET):
        self._ffi, self._lib = library.ffi, library.lib
        self._dc = self._lib.dc_new(way, name, secret.ljust(48, b"\0"), ciphers)
        assert self._dc != self._ffi.NULL
        self._family, self._port = family, port
        self.name, self.secret = name, secret
        self._room = self._ffi.new("uint8_t[]", 20000)
        self.move()

    def move(self, address=None):
        """To another port of the same address, as a NAT does it; or of another one."""
        self.socket = socket.socket(self._family, socket.SOCK_DGRAM)
        if address is not None:
            self.socket.bind((address, 0))
        self.socket.settimeout(QUIET)
        self.socket.connect(("::1" if self._family == socket.AF_INET6 else "127.0.0.1", self._port))

    def outgoing(self):
        result = []
        while size := self._lib.dc_take(self._dc, self._room):
            result.append(bytes(self._ffi.buffer(self._room, size)))
        return result

    def step(self, datagram=b""):
        return self._lib.dc_connect(self._dc, datagram, len(datagram))

    def receive(self):
        """The next datagram, or nothing."""
        try:
            return self.socket.recv(20000)
        except (TimeoutError, ConnectionRefusedError):
            return b""

    def connect(self, seconds=8.0):
        """Shakes hands; False where nobody answers."""
        deadline = time.monotonic() + seconds
        status = self.step()
        while status == 0 and time.monotonic() < deadline:
            for datagram in self.outgoing():
                self.socket.send(datagram)
            received = self.receive()
            if not received:
                self._lib.dc_timeout(self._dc)
            status = self.step(received)
        for datagram in self.outgoing():
            self.socket.send(datagram)
        return status == 1

    @property
    def resumed(self):
        return bool(self._lib.dc_resumed(self._dc))

    def seal(self, payload):
        assert self._lib.dc_seal(self._dc, payload, len(payload)) == 0
        (datagram,) = self.outgoing()
        return datagram

    def send(self, payload):
        self.socket.send(self.seal(payload))

    def open(self, datagram):
        size = self._lib.dc_open(self._dc, datagram, len(datagram), self._room, 20000)
        assert size >= 0, f"wolfSSL error {size}"
        return bytes(self._ffi.buffer(self._room, size))

    def read(self):
        """The payload of the next datagram, or nothing."""
        received = self.receive()
        return self.open(received) if received else b""

    def close(self):
        self._lib.dc_free(self._dc)
        self.socket.close()


class Lab:
    """A gateway with UDP, and DTLS clients of its sessions."""

    def __init__(self, start, library, workers=1, address="127.0.0.1", **options):
        self._library = library
        self.udp_port = 0
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
            self.udp_port = probe.getsockname()[1]
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listen = "::" if ":" in address else "0.0.0.0"
        datagrams = open_datagram_sockets([Endpoint(ip_address(listen), self.udp_port)], workers)
        self.bench = start(workers, udp=datagrams, **options)
        self.gateway = self.bench.gateway
        self.clients = []

    def tunnel(self, way=PSK, expect=True, **parameters):
        """(TLS client, session, DTLS client not yet connected)."""
        name, secret = secrets.token_bytes(32), secrets.token_bytes(48)
        tls, up = self.bench.linked()
        session = self.gateway.open_session(up.link, self.bench.parameters(**parameters))
        if expect and way == RESUMPTION:
            self.gateway.set_dtls(session, DtlsResumption(name, secret, DTLS12_SUITES[0]))
        elif expect:
            self.gateway.set_dtls(session, DtlsPsk(name, secret[:32]))
        self.gateway.attach(session, up.link, b"HEAD", b"")
        assert tls.read(4) == b"HEAD"
        self.bench.wait(ChannelUp)
        return tls, session, self.client(way, name, secret)

    def client(self, way, name, secret, ciphers=None):
        if ciphers is None:
            ciphers = {PSK: PSK_SUITES, RESUMPTION: DTLS12_SUITES[0].encode(), PSK13: b"TLS13-AES128-GCM-SHA256"}[way]
        client = DtlsClient(self._library, self.udp_port, way, name, secret, ciphers, self.family)
        self.clients.append(client)
        return client

    def up(self, way=PSK, **parameters):
        tls, session, client = self.tunnel(way, **parameters)
        assert client.connect()
        event = self.bench.wait(DtlsUp)
        assert event.session == session
        return tls, session, client

    def queue_with(self, packet):
        """The worker whose TUN queue gets the packet, and no other."""
        ready, _, _ = select.select(self.bench.tun, [], [], PATIENCE)
        (queue,) = ready
        assert queue.recv(65536) == packet
        return self.bench.tun.index(queue)

    def stat(self, name):
        return self.gateway.stats()[name]

    def close(self):
        for client in self.clients:
            client.close()


@pytest.fixture
def start_lab(start, dtls_library):
    labs = []

    def begin(**options):
        labs.append(Lab(start, dtls_library, **options))
        return labs[-1]

    yield begin
    for lab in labs:
        lab.close()


@pytest.fixture
def lab(start_lab):
    return start_lab()


@pytest.mark.parametrize("way", [PSK, RESUMPTION, PSK13])
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
        tls.send(wire.frame(wire.data, up))  # the link came along
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


def test_a_session_that_moved_is_found_by_new_links_and_new_names(start_lab, wire):
    lab = start_lab(workers=2)
    while lab.stat("sessions_moved") == 0:
        tls, session, _ = lab.up(ipv4=wire.own4, ipv6=None)
        if lab.stat("sessions_moved") == 0:
            lab.gateway.close_session(session, b"")
            lab.bench.wait(SessionClosed)
    name, secret = secrets.token_bytes(32), secrets.token_bytes(32)
    again, up = lab.bench.linked()
    lab.gateway.set_dtls(session, DtlsPsk(name, secret))
    lab.gateway.attach(session, up.link, b"AGAIN", b"")
    assert again.read(5) == b"AGAIN"
    assert tls.at_end()
    second = lab.client(PSK, name, secret)
    assert second.connect()
    packet = wire.ipv4(wire.own4, wire.outside4)
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


@pytest.mark.parametrize("way", [PSK, RESUMPTION, PSK13])
def test_a_hello_that_names_no_session_gets_no_answer(lab, gate, way):
    client = lab.client(way, secrets.token_bytes(32), secrets.token_bytes(48))
    assert not client.connect(seconds=0.8)
    assert gate.asked(gate.DTLS_HANDSHAKE) >= 1
    assert lab.stat("dtls_hello_unknown") >= 1
    assert lab.stat("dtls_cookies_sent") == 0


def test_the_policy_is_asked_before_the_name_is_looked_up(lab, gate):
    _, _, client = lab.tunnel()
    gate.answer(gate.DTLS_HANDSHAKE, gate.REJECT)
    assert not client.connect(seconds=0.8)
    request = gate.last_request()
    assert (request.protocol, request.verified, request.port) == (17, 0, client.socket.getsockname()[1])
    assert request.local_port == lab.udp_port
    assert lab.stat("dtls_hello_refused") >= 1
    assert lab.stat("dtls_cookies_sent") == 0
    gate.answer(gate.DTLS_HANDSHAKE, gate.ACCEPT)
    assert client.connect()


@pytest.mark.parametrize("way", [PSK, RESUMPTION, PSK13])
def test_the_answer_before_the_cookie_is_never_larger_than_the_hello(lab, way):
    _, _, client = lab.tunnel(way)
    client.step()
    (hello,) = client.outgoing()
    client.socket.send(hello)
    reply = client.receive()
    assert 0 < len(reply) <= len(hello)
    assert client.receive() == b""


@pytest.mark.parametrize("way", [PSK, RESUMPTION, PSK13])
def test_hellos_cut_and_flipped_get_no_alert_and_the_next_real_one_is_answered(lab, way):
    _, _, client = lab.tunnel(way)
    client.step()
    (hello,) = client.outgoing()
    for cut in range(len(hello)):
        client.socket.send(hello[:cut])
    for at in range(0, len(hello), 3):
        client.socket.send(hello[:at] + bytes([hello[at] ^ 0xFF]) + hello[at + 1 :])
    time.sleep(QUIET)
    client.socket.settimeout(0.05)
    while reply := client.receive():
        assert reply[0] == 22  # a HelloVerifyRequest or HelloRetryRequest, never an alert
        assert len(reply) <= len(hello)
    client.socket.settimeout(QUIET)
    assert lab.stat("dtls_hello_malformed") >= len(hello) - 14
    client.socket.send(hello)
    assert client.receive()[0] == 22


def test_a_cookie_is_good_for_its_own_address_only(lab):
    _, _, client = lab.tunnel()
    client.step()
    (hello,) = client.outgoing()
    client.socket.send(hello)
    client.step(client.receive())
    (second,) = client.outgoing()
    client.move()
    client.socket.send(second)
    reply = client.receive()
    assert (reply[0], reply[13], len(reply)) == (22, 3, 60)  # asked again
    assert lab.stat("dtls_cookies_sent") == 2


def test_a_retry_cookie_is_good_for_its_own_address_only(lab):
    _, _, client = lab.tunnel(PSK13)
    client.step()
    (hello,) = client.outgoing()
    client.socket.send(hello)
    client.step(client.receive())
    (second,) = client.outgoing()
    client.move()
    client.socket.send(second)
    assert client.receive() == b""
    assert (lab.stat("dtls_cookies_sent"), lab.stat("dtls_handshakes_done")) == (1, 0)


def test_a_wrong_key_does_not_get_in(lab):
    _, session, client = lab.tunnel()
    thief = lab.client(PSK, client.name, bytes(48))
    assert not thief.connect(seconds=1.5)
    assert lab.stat("dtls_handshakes_done") == 0
    time.sleep(3.1)  # the pause between two handshakes of a session is the contract
    assert client.connect()
    assert lab.bench.wait(DtlsUp).session == session


def test_a_stranger_who_overheard_the_name_does_not_keep_its_client_out(lab):
    _, session, client = lab.tunnel()
    thief = lab.client(PSK, client.name, bytes(48))
    thief.move("127.0.0.2")
    assert not thief.connect(seconds=0.8)
    assert client.connect(seconds=1.0)  # at once, not after the pause between handshakes
    assert lab.bench.wait(DtlsUp).session == session
    assert not lab.client(PSK, client.name, bytes(48)).connect(seconds=0.8)
    client.send(DPD_REQUEST)
    assert client.read() == DPD_RESPONSE


@pytest.mark.parametrize("way", [PSK, RESUMPTION, PSK13])
@pytest.mark.parametrize("fault", ["lost", "doubled", "reordered"])
def test_lost_doubled_and_reordered_flights_are_survived(lab, way, fault):
    _, _, client = lab.tunnel(way)
    deadline, status, sent = time.monotonic() + 12, client.step(), 0
    while status == 0:
        assert time.monotonic() < deadline
        flight = client.outgoing()
        for datagram in reversed(flight) if fault == "reordered" else flight:
            sent += 1
            if fault != "lost" or sent % 2 == 0:
                client.socket.send(datagram)
            if fault == "doubled":
                client.socket.send(datagram)
        received = client.receive()
        if not received:
            client._lib.dc_timeout(client._dc)
        status = client.step(received)
    assert status == 1
    for datagram in client.outgoing():
        client.socket.send(datagram)
    lab.bench.wait(DtlsUp)


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


def test_hellos_of_strangers_disturb_no_live_connection(lab, wire):
    _, _, client = lab.tunnel()
    client.step()
    (hello,) = client.outgoing()
    client.socket.send(hello)
    client.step(client.receive())
    assert client.connect()
    up, down = wire.ipv4(wire.own4, wire.outside4), wire.ipv4(wire.outside4, wire.own4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))
        stranger.connect(("127.0.0.1", lab.udp_port))
        for size in range(len(hello) + 1):
            stranger.send(hello[:size])
        for at in range(len(hello)):
            stranger.send(hello[:at] + bytes([hello[at] ^ 0xFF]) + hello[at + 1 :])
            client.send(DATA + up)
            assert lab.bench.tun[0].recv(65536) == up
    lab.bench.tun[0].send(down)
    assert client.read() == DATA + down


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
    assert lab.stat("dtls_moved") == 1
    lab.bench.tun[0].send(down)
    assert client.read() == DATA + down


def test_a_replayed_record_from_another_port_moves_nobody(lab, wire):
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


def test_dtls_made_anew_replaces_the_old_once_it_works(lab, wire):
    _, session, first = lab.up()
    second = lab.client(PSK, first.name, first.secret)
    assert not second.connect(seconds=1.0)  # too soon after the first
    assert lab.stat("dtls_hello_duplicate") >= 1
    down = wire.ipv4(wire.outside4, wire.own4)
    lab.bench.tun[0].send(down)
    assert first.read() == DATA + down
    time.sleep(3.1)
    third = lab.client(PSK, first.name, first.secret)
    assert third.connect()
    assert lab.bench.wait(DtlsUp).session == session
    lab.bench.tun[0].send(down)
    assert third.read() == DATA + down


def test_a_new_tls_channel_ends_dtls_of_the_one_before(lab, wire):
    _, session, client = lab.up()
    tls, up = lab.bench.linked()
    lab.gateway.attach(session, up.link, b"HEAD", b"")
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


def test_a_goodbye_over_dtls_ends_dtls_only(lab, wire):
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
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.settimeout(QUIET)
        stranger.connect(("127.0.0.1", lab.udp_port))
        for junk in (
            b"",
            b"\x00",
            b"\x16\xfe\xfd" + bytes(10),
            secrets.token_bytes(1400)[:-1] + b"\0",
            b"\x17\xfe\xfd" + bytes(60),
        ):
            stranger.send(junk)
        lab.bench.wait_stat("dtls_garbage", 3)
        with pytest.raises((TimeoutError, ConnectionRefusedError)):
            stranger.recv(2000)


def test_what_cannot_be_a_dtls_client_is_refused(lab):
    _, session, _ = lab.tunnel()
    with pytest.raises(GatewayError, match="not among the suites"):
        lab.gateway.set_dtls(session, DtlsResumption(bytes(32), bytes(48), "AES128-SHA"))
    with pytest.raises(GatewayError, match="31 and 32 bytes"):
        lab.gateway.set_dtls(session, DtlsPsk(bytes(31), bytes(32)))
