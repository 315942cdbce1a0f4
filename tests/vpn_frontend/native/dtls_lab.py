# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway with UDP and clients whose datagrams the test carries itself.

client (sans-IO, dtls_client.c) --datagrams, lost, doubled, forged--> UDP socket of a worker --> "TUN" socket pair
"""

from __future__ import annotations

import hmac
import importlib.util
import secrets
import select
import socket
import subprocess
import time
from pathlib import Path

import cffi
import pytest

from lab.timeouts import TIMEOUT
from tests.vpn_frontend.reserved_ports import port_of, reserve_datagram_port
from vpn_frontend.gateway.interface import (
    DTLS12_SUITES,
    DTLS13_SUITES,
    ChannelUp,
    DtlsCertificate,
    DtlsPsk,
    DtlsResumption,
    DtlsUp,
)

ROOT = Path(__file__).parents[3]
PSK, RESUMPTION, PSK13, CERTIFICATE = 1, 2, 3, 4
EVERY_WAY = (PSK, RESUMPTION, PSK13, CERTIFICATE)
CIPHERS = {
    PSK: b"PSK-AES256-GCM-SHA384:PSK-AES128-GCM-SHA256",
    RESUMPTION: DTLS12_SUITES[0].encode(),
    PSK13: b"TLS13-AES128-GCM-SHA256",
    CERTIFICATE: b"TLS13-AES256-GCM-SHA384:TLS13-AES128-GCM-SHA256",
}
QUIET = 0.3  # seconds in which most answers would have come: waited where none must
DATA, DPD_REQUEST, DPD_RESPONSE, DISCONNECT, PROOF = b"\x00", b"\x03", b"\x04", b"\x05", b"\x50"
BINDING = b"EXPORTER-ocsentry-dtls13-proof"


def describe_client():
    prefix = subprocess.run(
        [ROOT / "vpn_frontend/native/wolfssl.sh"], check=True, capture_output=True, text=True, timeout=600
    ).stdout.strip()
    ffi = cffi.FFI()
    ffi.cdef(
        "typedef struct dc dc; dc *dc_new(int, const uint8_t *, const uint8_t *, const char *); void dc_free(dc *);"
        "int dc_connect(dc *, const uint8_t *, int); int dc_take(dc *, uint8_t *);"
        "int dc_seal(dc *, const uint8_t *, int);"
        "int dc_open(dc *, const uint8_t *, int, uint8_t *, int); int dc_timeout(dc *); int dc_resumed(dc *);"
        "int dc_export(dc *, const char *, uint8_t *, int);"
    )
    ffi.set_source(
        "_dtls_client",
        Path(__file__).with_name("dtls_client.c").read_text(encoding="utf-8"),
        include_dirs=[f"{prefix}/include", str(Path(__file__).parent)],
        extra_objects=[f"{prefix}/lib/libwolfssl.a"],
        libraries=["m"],
    )
    return ffi


def compile_client(folder):
    """The client in C, compiled once against the library of the gateway."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LD_PRELOAD", raising=False)  # a sanitizer's library is not for shell and compiler
        path = describe_client().compile(tmpdir=str(folder))
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
        self.way, self.name, self.secret = way, name, secret
        self._room = self._ffi.new("uint8_t[]", 20000)
        self.move()

    def move(self, address=None):
        """Change to another port of the same address, as a NAT does, or of another address."""
        self.socket = socket.socket(self._family, socket.SOCK_DGRAM)
        if address is not None:
            self.socket.bind((address, 0))
        self.socket.connect(("::1" if self._family == socket.AF_INET6 else "127.0.0.1", self._port))

    def outgoing(self):
        result = []
        while size := self._lib.dc_take(self._dc, self._room):
            result.append(bytes(self._ffi.buffer(self._room, size)))
        return result

    def step(self, datagram=b""):
        return self._lib.dc_connect(self._dc, datagram, len(datagram))

    def receive(self, patience=TIMEOUT):
        """The next datagram; nothing where none comes in so many seconds."""
        self.socket.settimeout(patience)
        try:
            return self.socket.recv(20000)
        except (TimeoutError, ConnectionRefusedError):
            return b""

    def connect(self, seconds=TIMEOUT, pause=QUIET):
        """Does the handshake, retransmitting after each pause; False: no answer."""
        deadline = time.monotonic() + seconds
        status = self.step()
        while status == 0 and time.monotonic() < deadline:
            for datagram in self.outgoing():
                self.socket.send(datagram)
            received = self.receive(min(pause, seconds))
            if not received:
                self._lib.dc_timeout(self._dc)
            status = self.step(received)
        for datagram in self.outgoing():
            self.socket.send(datagram)
        return status == 1

    def shake_hands_and_prove(self):
        """``connect``, and the proof where the mode needs it. Returns false without an answer."""
        return self.connect() and (self.way != CERTIFICATE or self.prove())

    def binding(self):
        """The input of the proof, and the server's expected answer."""
        assert self._lib.dc_export(self._dc, BINDING, self._room, 64) == 1
        exported = bytes(self._ffi.buffer(self._room, 64))
        return exported[:32], exported[32:]

    def proof(self, key=None):
        return PROOF + hmac.digest(key or self.secret[:32], self.binding()[0], "sha256")

    def prove(self):
        """Sends the proof until it is answered; whether the answer was the server's own proof."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            self.send(self.proof())
            if answer := self.open(self.receive(QUIET)):
                return answer == PROOF + hmac.digest(self.secret[:32], self.binding()[1], "sha256")
            self._lib.dc_timeout(self._dc)
            for datagram in self.outgoing():  # its last flight may be what was lost
                self.socket.send(datagram)
        return False

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

    def read(self, patience=TIMEOUT):
        """The next payload, or nothing. Repeated flights and answers to proofs are skipped."""
        while received := self.receive(patience):
            payload = self.open(received)
            if payload and not payload.startswith(PROOF):
                return payload
        return b""

    def close(self):
        self._lib.dc_free(self._dc)
        self.socket.close()


class DtlsLab:
    """A gateway with UDP, and DTLS clients of its sessions."""

    def __init__(self, start, library, workers=1, address="127.0.0.1", **options):
        self._library = library
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._reserved, datagrams = reserve_datagram_port("::" if ":" in address else "0.0.0.0", workers)
        self.udp_port = port_of(self._reserved)
        self.bench = start(workers, udp=datagrams, **options)
        self.gateway = self.bench.gateway
        self.clients = []

    def tunnel(self, way=PSK, expect=True, **parameters):
        """(TLS client, session, DTLS client not yet connected)."""
        name, secret = secrets.token_bytes(32), secrets.token_bytes(48)
        tls, up = self.bench.connected()
        if way == CERTIFICATE:
            secret = up.proof_key.ljust(48, b"\0")
        session = self.gateway.open_session(up.connection_id, self.bench.parameters(**parameters))
        if expect and way == RESUMPTION:
            self.gateway.set_dtls(session, DtlsResumption(name, secret, DTLS12_SUITES[0]))
        elif expect and way == CERTIFICATE:
            self.gateway.set_dtls(session, DtlsCertificate(name, up.proof_key, DTLS13_SUITES))
        elif expect:
            self.gateway.set_dtls(session, DtlsPsk(name, secret[:32]))
        self.gateway.attach(session, up.connection_id, b"HEAD", b"")
        assert tls.read(4) == b"HEAD"
        self.bench.wait(ChannelUp)
        self.bench.settle()
        return tls, session, self.client(way, name, secret)

    def client(self, way, name, secret, ciphers=None):
        ciphers = ciphers or CIPHERS[way]
        client = DtlsClient(self._library, self.udp_port, way, name, secret, ciphers, self.family)
        self.clients.append(client)
        return client

    def up(self, way=PSK, **parameters):
        tls, session, client = self.tunnel(way, **parameters)
        assert client.shake_hands_and_prove()
        event = self.bench.wait(DtlsUp)
        assert event.session == session
        return tls, session, client

    def queue_with(self, packet):
        """The worker whose TUN queue gets the packet, and no other."""
        ready, _, _ = select.select(self.bench.tun, [], [], TIMEOUT)
        (queue,) = ready
        assert queue.recv(65536) == packet
        return self.bench.tun.index(queue)

    def stat(self, name):
        return self.gateway.stats()[name]

    def close(self):
        for client in self.clients:
            client.close()
        self._reserved.close()
