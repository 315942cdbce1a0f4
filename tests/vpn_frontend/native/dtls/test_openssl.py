# SPDX-License-Identifier: GPL-3.0-or-later
"""PSK-NEGOTIATE of clients built with OpenSSL: they resume a made-up session whose id names the tunnel.

The client is ``openssl s_client``, given such a session as a file.
"""

from __future__ import annotations

import base64
import secrets
import subprocess

import pytest

from tests.vpn_frontend.reserved_ports import port_of, reserve_datagram_port
from vpn_frontend.gateway.interface import ChannelUp, DtlsPsk, DtlsUp

INTEGER, OCTETS, SEQUENCE = 0x02, 0x04, 0x30
PSK_AES256_GCM_SHA384, DTLS12 = b"\x00\xa9", 0xFEFD


def der(tag, body):
    assert len(body) < 256
    return bytes([tag]) + (bytes([len(body)]) if len(body) < 128 else bytes([0x81, len(body)])) + body


def session_file(name):
    """SSL_SESSION as OpenSSL writes it: version, protocol, suite, id, master key."""
    number = lambda value: der(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))  # noqa: E731
    body = number(1) + number(DTLS12) + der(OCTETS, PSK_AES256_GCM_SHA384) + der(OCTETS, name) + der(OCTETS, bytes(48))
    text = base64.encodebytes(der(SEQUENCE, body)).decode()
    return f"-----BEGIN SSL SESSION PARAMETERS-----\n{text}-----END SSL SESSION PARAMETERS-----\n"


@pytest.mark.parametrize("suites", ["PSK", "PSK-AES128-GCM-SHA256", "PSK-CHACHA20-POLY1305"])
def test_a_client_of_openssl_gets_dtls(start, tmp_path, suites):
    reserved, datagrams = reserve_datagram_port("127.0.0.1", 1)
    port = port_of(reserved)
    bench = start(udp=datagrams)
    name, key = secrets.token_bytes(32), secrets.token_bytes(32)
    _, up = bench.connected()
    session = bench.gateway.open_session(up.connection_id, bench.parameters())
    bench.gateway.set_dtls(session, DtlsPsk(name, key))
    bench.gateway.attach(session, up.connection_id, b"HEAD", b"")
    bench.wait(ChannelUp)
    stored = tmp_path / "session.pem"
    stored.write_text(session_file(name))
    how = ["-dtls1_2", "-psk", key.hex(), "-psk_identity", "psk", "-cipher", suites, "-sess_in", str(stored)]
    client = subprocess.Popen(
        ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{port}", *how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        event = bench.wait(DtlsUp)
        assert (event.session, event.version) == (session, "DTLSv1.2")
        assert event.cipher.startswith("PSK-AES256" if suites == "PSK" else suites)
        client.stdin.write(b"\x03probe\n")
        client.stdin.flush()
        assert client.stdout.read(7) == b"\x04probe\n"
    finally:
        client.kill()
        client.communicate()
        reserved.close()
