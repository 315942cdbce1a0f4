# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway in this process, its TUN queues replaced by datagram socket pairs, its policy by a few lines of C.

client (Python's ssl over loopback) --TLS--> worker --"TUN" socket pair--> test
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import select
import socket
import ssl
import struct
import subprocess
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from types import SimpleNamespace

import cffi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from lab.timeouts import TIMEOUT
from tests.vpn_frontend.native.dtls_lab import DtlsLab, compile_client
from tests.vpn_frontend.native.offload_harness import build_offloads
from tests.vpn_frontend.reserved_ports import port_of, reserve_port
from vpn_frontend.gateway.certificates.server_certificate import ServerCertificate, parse_certificate
from vpn_frontend.gateway.interface import (
    NO_CLIENT_AUTHORITIES,
    ConnectionClosed,
    ConnectionData,
    ConnectionUp,
    GatewayConfig,
    SessionClosed,
    TlsHost,
    TunnelParameters,
)
from vpn_frontend.gateway.limits import NO_LIMITS
from vpn_frontend.gateway.native_gateway import open_gateway
from vpn_frontend.gateway.sockets import bind_listeners, start_listening
from vpn_frontend.settings import Endpoint

ROOT = Path(__file__).parents[3]
DATA, DPD_REQUEST, DPD_RESPONSE, DISCONNECT, KEEPALIVE, TERMINATE = 0, 3, 4, 5, 7, 9
OWN4, OWN6 = IPv4Address("192.168.99.7"), IPv6Address("fd00:99::7")
OTHER4 = IPv4Address("192.168.99.8")

GATE_SOURCE = """
#include "sentry_engine/native/gate.h"
static struct { uint32_t asked[32]; uint32_t action[32]; struct se_request last; } policy;
static void decide(void *engine, const struct se_request *request, struct se_verdict *verdict)
{
    (void)engine;
    __atomic_add_fetch(&policy.asked[request->event], 1, __ATOMIC_SEQ_CST);
    policy.last = *request;
    *verdict = (struct se_verdict){ .action = (uint8_t)__atomic_load_n(&policy.action[request->event], 5) };
}
static struct se_gate gate = { SE_GATE_ABI, sizeof(struct se_request), sizeof(struct se_verdict), 0, 0, decide, 0 };
static uintptr_t gate_address(void) { return (uintptr_t)&gate; }
static uint32_t gate_asked(uint32_t event) { return __atomic_load_n(&policy.asked[event], __ATOMIC_SEQ_CST); }
static void gate_answer(uint32_t event, uint32_t action) { __atomic_store_n(&policy.action[event], action, 5); }
static void gate_set_abi(uint32_t abi) { gate.abi = abi; }
static void gate_last(uint8_t *out) { memcpy(out, &policy.last, sizeof(policy.last)); }
static void gate_reset(void) { memset(&policy, 0, sizeof(policy)); gate.abi = SE_GATE_ABI; }
"""


@pytest.fixture(scope="session")
def offloads(tmp_path_factory):
    """``gro.c``, ``ack_filter.c`` and ``gso.c`` alone."""
    return build_offloads(tmp_path_factory.mktemp("offloads"))


@pytest.fixture(scope="session")
def gate_library(tmp_path_factory):
    """The stub policy, compiled once."""
    ffi = cffi.FFI()
    ffi.cdef(
        "uintptr_t gate_address(void); uint32_t gate_asked(uint32_t); void gate_answer(uint32_t, uint32_t);"
        "void gate_set_abi(uint32_t); void gate_last(uint8_t *); void gate_reset(void);"
    )
    ffi.set_source("_stub_gate", "#include <string.h>\n" + GATE_SOURCE, include_dirs=[str(ROOT)])
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LD_PRELOAD", raising=False)  # a sanitizer's library is not for the compiler
        path = ffi.compile(tmpdir=str(tmp_path_factory.mktemp("gate")))
    spec = importlib.util.spec_from_file_location("_stub_gate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Gate:
    """Accepts everything unless set otherwise; counts the questions."""

    CONNECT, TLS_HANDSHAKE_FAILED, DTLS_HANDSHAKE = 0, 1, 2
    ACCEPT, REJECT, RATE_LIMITED = 0, 1, 2
    UNVERIFIED, VERIFIED, NAMED = 0, 1, 2

    def __init__(self, library):
        self._library = library
        library.lib.gate_reset()
        self.address = library.lib.gate_address()

    def answer(self, event, action):
        self._library.lib.gate_answer(event, action)

    def asked(self, event):
        return self._library.lib.gate_asked(event)

    def set_abi(self, abi):
        self._library.lib.gate_set_abi(abi)

    def last_request(self):
        raw = self._library.ffi.new("uint8_t[40]")
        self._library.lib.gate_last(raw)
        address, event, port, local_port, protocol, verified, now = struct.unpack("=16sHHHBBQ", bytes(raw)[:32])
        return SimpleNamespace(
            address=address,
            event=event,
            port=port,
            local_port=local_port,
            protocol=protocol,
            verified=verified,
            now=now,
        )


@pytest.fixture
def gate(gate_library):
    return Gate(gate_library)


def make_certificate(key, digest=hashes.SHA256()):  # noqa: B008 - has no state
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vpn.test")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("vpn.test")]), critical=False)
        .sign(key, digest)
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private


@pytest.fixture(scope="session")
def ecdsa_pair():
    return make_certificate(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def rsa_pair():
    return make_certificate(rsa.generate_private_key(65537, 2048))


def frame(kind, payload=b""):
    return b"STF\x01" + struct.pack("!HBB", len(payload), kind, 0) + payload


def ipv4(source, destination, payload=b"x" * 32, *, protocol=17, total=None, fragment=0):
    size = 20 + len(payload) if total is None else total
    head = struct.pack("!BBHHHBBH", 0x45, 0, size, 1, fragment, 64, protocol, 0)
    return head + ip_address(source).packed + ip_address(destination).packed + payload


def ipv6(source, destination, payload=b"y" * 32, *, header=17, length=None):
    size = len(payload) if length is None else length
    head = struct.pack("!IHBB", 0x60000000, size, header, 64)
    return head + ip_address(source).packed + ip_address(destination).packed + payload


class Client:
    """A TLS client with raw access to its socket."""

    def __init__(
        self, port, *, version=None, server_name="vpn.test", session=None, context=None, ciphers=None, host="127.0.0.1"
    ):
        self.raw = socket.create_connection((host, port), timeout=TIMEOUT)
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["http/1.1"])
            if version is not None:
                context.minimum_version = context.maximum_version = version
            if ciphers is not None:
                context.set_ciphers(ciphers)
        self.context = context
        self.raw_name = self.raw.getsockname()
        self.tls = context.wrap_socket(self.raw, server_hostname=server_name, session=session)
        self._buffer = b""

    def raw_timeout(self, seconds):
        self.tls.settimeout(seconds)

    def send(self, data):
        self.tls.sendall(data)

    def read(self, size):
        while len(self._buffer) < size:
            chunk = self.tls.recv(65536)
            if not chunk:
                raise EOFError(f"{len(self._buffer)} of {size} bytes, then the end")
            self._buffer += chunk
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def read_frame(self):
        """(type, payload) of one CSTP frame, checking that it came alone in its record."""
        record = self.tls.recv(65536)
        if not record:
            raise EOFError
        assert record[:4] == b"STF\x01"
        size, kind, zero = struct.unpack("!HBB", record[4:8])
        assert (len(record), zero) == (8 + size, 0)
        return kind, record[8:]

    def at_end(self):
        try:
            return self.tls.recv(1) == b""
        except (ConnectionError, ssl.SSLEOFError):
            return True

    def close(self):
        self.tls.close()

    def reset(self):
        self.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.tls.close()


def _as_certificate(pair):
    return pair if isinstance(pair, ServerCertificate) else parse_certificate(*pair)


class Bench:
    """A running gateway with the test's ends of its TUN queues: the first of each worker, then the second."""

    def __init__(
        self,
        gate,
        pair,
        workers=1,
        listen="127.0.0.1",
        clients=NO_CLIENT_AUTHORITIES,
        more=(),
        hosts=(),
        queues=1,
        **options,
    ):
        self._workers = workers
        ends = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(workers * queues)]
        self.tun = [ours for ours, _ in ends]
        for ours in self.tun:
            ours.settimeout(TIMEOUT)
        self._reserved = reserve_port()
        self.port = port_of(self._reserved)
        limits = {
            "max_connections": 8192,
            "max_sessions": 1024,
            "handshake_timeout": 10.0,
            "conversation_timeout": 60.0,
        }
        listeners = bind_listeners([Endpoint(ip_address(one), self.port) for one in listen.split()], workers)
        start_listening(descriptor for row in listeners for descriptor in row)
        self.gateway = open_gateway(
            GatewayConfig(
                listeners=listeners,
                tuns=tuple(theirs.detach() for _, theirs in ends),
                hosts=(TlsHost(tuple(map(_as_certificate, (pair, *more))), clients), *hosts),
                gate=gate.address,
                **limits | options,
            )
        )
        self.seen = []
        self.clients = []

    def client(self, **options):
        client = Client(self.port, **options)
        self.clients.append(client)
        return client

    def wait(self, kind, predicate=lambda event: True, patience=TIMEOUT):
        """The next event of a kind; the others stay for later."""
        deadline = time.monotonic() + patience
        while True:
            for index, event in enumerate(self.seen):
                if isinstance(event, kind) and predicate(event):
                    return self.seen.pop(index)
            self.pump(deadline)

    def wait_stat(self, name, least=1):
        deadline = time.monotonic() + TIMEOUT
        while self.gateway.stats()[name] < least:
            assert time.monotonic() < deadline, f"{name} stays at {self.gateway.stats()[name]}"
            time.sleep(0.005)  # counters have no event to wait for
        return self.gateway.stats()[name]

    def settle(self):
        """Return when every worker has handled all commands so far: most have no effect to wait for."""
        for worker in range(self._workers):
            last = self.gateway.open_session(worker, self.parameters(ipv4=None, ipv6=None))
            self.gateway.close_session(last, b"")
            self.wait(SessionClosed, lambda event, last=last: event.session == last)

    def pump(self, deadline):
        ready, _, _ = select.select([self.gateway.fileno()], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing came; so far {self.seen}"
        self.seen += self.gateway.events()

    def connected(self, **options):
        """A client that has sent a byte, which the test does not see: before it no connection is told of."""
        client = self.client(**options)
        client.send(b"x")
        up = self.wait(ConnectionUp)
        assert self.read_from(up.connection_id, 1) == b"x"
        return client, up

    def read_from(self, connection_id, size):
        data = b""
        while len(data) < size:
            data += self.wait(ConnectionData, lambda event: event.connection_id == connection_id).data
        return data

    def parameters(self, ipv4=OWN4, ipv6=OWN6, mtu=1400, dpd=0, idle_timeout=0, rekey=0, limits=NO_LIMITS, **more):
        return TunnelParameters(
            ipv4=ipv4, ipv6=ipv6, mtu=mtu, dpd=dpd, idle_timeout=idle_timeout, rekey=rekey, limits=limits, **more
        )

    def tunnel(self, head=b"HELLO", early=b"", version=None, **parameters):
        """A client whose connection carries a session: (client, session)."""
        client, up = self.connected(version=version)
        session = self.gateway.open_session(up.connection_id, self.parameters(**parameters))
        self.gateway.attach(session, up.connection_id, head, early)
        assert client.read(len(head)) == head
        self.settle()
        return client, session

    def close(self):
        for client in self.clients:
            client.tls.close()
        self.gateway.close()
        for ours in (*self.tun, self._reserved):
            ours.close()


@pytest.fixture
def start(gate, ecdsa_pair):
    """``start(workers=1, **options)``: a ``Bench`` that the test need not close."""
    benches = []

    def begin(workers=1, pair=ecdsa_pair, **options):
        benches.append(Bench(gate, pair, workers, **options))
        return benches[-1]

    yield begin
    for bench in benches:
        bench.close()


@pytest.fixture
def bench(start):
    return start()


@pytest.fixture(scope="session")
def wire():
    """The builders and numbers that tests of this folder share."""
    return SimpleNamespace(
        frame=frame, ipv4=ipv4, ipv6=ipv6, own4=OWN4, own6=OWN6, other4=OTHER4, patience=TIMEOUT, data=DATA,
        dpd_request=DPD_REQUEST, dpd_response=DPD_RESPONSE, disconnect=DISCONNECT, keepalive=KEEPALIVE,
        terminate=TERMINATE, connection_closed=ConnectionClosed, outside4=IPv4Address("198.51.100.1"),
        outside6=IPv6Address("2001:db8::1"),
    )  # fmt: skip


@pytest.fixture(scope="session")
def openssl():
    """``openssl(port, *switches)``: what ``openssl s_client`` prints of a handshake. It ``says`` a line then."""

    def connect(port, *switches, says=""):
        run = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *switches],
            input=says,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        return run.stdout + run.stderr

    return connect


@pytest.fixture(scope="session")
def dtls_library(tmp_path_factory):
    return compile_client(tmp_path_factory.mktemp("dtls"))


@pytest.fixture
def start_lab(start, dtls_library):
    labs = []

    def begin(**options):
        labs.append(DtlsLab(start, dtls_library, **options))
        return labs[-1]

    yield begin
    for lab in labs:
        lab.close()


@pytest.fixture
def lab(start_lab):
    return start_lab()
