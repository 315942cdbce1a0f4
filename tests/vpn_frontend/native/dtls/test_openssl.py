# SPDX-License-Identifier: GPL-3.0-or-later
"""PSK-NEGOTIATE of clients built with OpenSSL: they resume a made-up session whose id names the tunnel.

The client is ``openssl s_client``, given such a session as a file.
"""

from __future__ import annotations

import base64
import os
import secrets
import subprocess

import pytest

from tests.vpn_frontend.reserved_ports import port_of, reserve_datagram_port
from vpn_frontend.gateway.interface import ChannelUp, DtlsPsk, DtlsResumption, DtlsUp

INTEGER, OCTETS, SEQUENCE = 0x02, 0x04, 0x30
PSK_AES256_GCM_SHA384, DTLS12 = b"\x00\xa9", 0xFEFD


def der(tag, body):
    assert len(body) < 256
    return bytes([tag]) + (bytes([len(body)]) if len(body) < 128 else bytes([0x81, len(body)])) + body


def session_file(name, suite=PSK_AES256_GCM_SHA384, master=bytes(48)):
    """SSL_SESSION as OpenSSL writes it: version, protocol, suite, id, master key."""
    number = lambda value: der(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))  # noqa: E731
    body = number(1) + number(DTLS12) + der(OCTETS, suite) + der(OCTETS, name) + der(OCTETS, master)
    text = base64.encodebytes(der(SEQUENCE, body)).decode()
    return f"-----BEGIN SSL SESSION PARAMETERS-----\n{text}-----END SSL SESSION PARAMETERS-----\n"


# Clients that resume this way are older than RFC 7627 or leave it out: their master secret comes from TLS.
WITHOUT_EMS = """openssl_conf = main
[main]
ssl_conf = all
[all]
system_default = every
[every]
Options = -ExtendedMasterSecret
"""


class Site:
    """A gateway with UDP, a session that expects ``offer``, and its client."""

    def __init__(self, start, folder, **options):
        self._reserved, datagrams = reserve_datagram_port("127.0.0.1", 1)
        self.bench, self._stored = start(udp=datagrams, **options), folder / "session.pem"
        self._client = None

    def expect(self, offer):
        _, up = self.bench.connected()
        session = self.bench.gateway.open_session(up.connection_id, self.bench.parameters())
        self.bench.gateway.set_dtls(session, offer)
        self.bench.gateway.attach(session, up.connection_id, b"HEAD", b"")
        self.bench.wait(ChannelUp)
        return session

    def connect(self, stored, *switches):
        self._stored.write_text(stored)
        settings = self._stored.with_name("openssl.cnf")
        settings.write_text(WITHOUT_EMS)
        self._client = subprocess.Popen(
            ["openssl", "s_client", "-quiet", "-dtls1_2", "-connect", f"127.0.0.1:{port_of(self._reserved)}",
             "-sess_in", str(self._stored), *switches],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "OPENSSL_CONF": str(settings)},
        )  # fmt: skip

    def probe(self):
        self._client.stdin.write(b"\x03probe\n")
        self._client.stdin.flush()
        return self._client.stdout.read(7)

    def close(self):
        if self._client is not None:
            self._client.kill()
            self._client.communicate()
        self._reserved.close()


@pytest.fixture
def site(start, tmp_path):
    made = Site(start, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("suites", ["PSK", "PSK-AES128-GCM-SHA256", "PSK-CHACHA20-POLY1305"])
def test_a_client_of_openssl_gets_dtls(site, suites):
    name, key = secrets.token_bytes(32), secrets.token_bytes(32)
    session = site.expect(DtlsPsk(name, key))
    site.connect(session_file(name), "-psk", key.hex(), "-psk_identity", "psk", "-cipher", suites)
    event = site.bench.wait(DtlsUp)
    assert (event.session, event.version) == (session, "DTLSv1.2")
    assert event.cipher.startswith("PSK-AES256" if suites == "PSK" else suites)
    assert site.probe() == b"\x04probe\n"


@pytest.mark.parametrize(
    ("name", "suite", "number"),
    [
        ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", 0xC030),
        ("DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES256-GCM-SHA384", 0x009F),
        ("DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256", 0x009E),
        ("AES256-GCM-SHA384", "AES256-GCM-SHA384", 0x009D),
        ("AES128-GCM-SHA256", "AES128-GCM-SHA256", 0x009C),
        ("OC-DTLS1_2-AES256-GCM", "AES256-GCM-SHA384", 0x009D),
        ("OC-DTLS1_2-AES128-GCM", "AES128-GCM-SHA256", 0x009C),
    ],
)
def test_a_session_of_each_suite_is_resumed(site, name, suite, number):
    session_id, master = secrets.token_bytes(32), secrets.token_bytes(48)
    session = site.expect(DtlsResumption(session_id, master, name))
    site.connect(session_file(session_id, number.to_bytes(2, "big"), master), "-cipher", suite)
    event = site.bench.wait(DtlsUp)
    assert (event.session, event.version) == (session, "DTLSv1.2")
    assert site.probe() == b"\x04probe\n"
