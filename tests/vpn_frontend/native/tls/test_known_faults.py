# SPDX-License-Identifier: GPL-3.0-or-later
"""Known faults of TLS servers: here the same bytes end only the connection of their sender."""

from __future__ import annotations

import os
import re
import secrets
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from lab.timeouts import TIMEOUT
from tests.vpn_frontend.native.dtls_lab import CERTIFICATE, EVERY_WAY, QUIET, ROOT
from vpn_frontend.gateway.interface import ChannelDown

CHANGE_CIPHER_SPEC = b"\x14\x03\x03\x00\x01\x01"


def record(kind, body, version=b"\x03\x03"):
    return bytes([kind]) + version + struct.pack("!H", len(body)) + body


@pytest.mark.parametrize(
    "junk",
    [
        record(23, secrets.token_bytes(64)),
        record(22, b"\x01" + bytes(40)),  # a hello: no renegotiation (CVE-2011-1473)
        record(21, b"\x02\x28"),
        record(99, bytes(8)),
        record(23, b""),
        b"\x17\x03\x03\xff\xff" + bytes(1000),
    ],
    ids=["sealed with another key", "hello", "alert", "unknown type", "empty", "too long"],
)
def test_a_malformed_record_behind_the_handshake_ends_its_tunnel_alone(bench, wire, junk):
    """Cisco ASA, CVE-2020-27124 and CVE-2021-34783."""
    other, _ = bench.tunnel(ipv4=wire.other4, ipv6=None)
    client, session = bench.tunnel()
    with socket.socket(fileno=os.dup(client.tls.fileno())) as raw:
        raw.sendall(junk)
    assert bench.wait(ChannelDown).session == session
    other.send(wire.frame(wire.dpd_request, b"there?"))
    assert other.read_frame() == (wire.dpd_response, b"there?")


def test_a_stream_of_change_cipher_specs_ends(bench):
    """wolfSSL, CVE-2020-12457: repeated ones kept the server busy for ever."""
    with socket.create_connection(("127.0.0.1", bench.port), timeout=TIMEOUT) as peer:
        try:
            for _ in range(200):
                peer.sendall(CHANGE_CIPHER_SPEC * 200)
            while peer.recv(4096):
                pass
        except ConnectionError:
            pass
    bench.wait_stat("handshakes_failed")
    bench.tunnel()


@pytest.mark.parametrize("way", EVERY_WAY)
def test_handshakes_that_failed_keep_no_worker_busy(lab, way):
    """ocserv #400: a handshake that failed was tried for ever."""
    _, _, client = lab.tunnel(way)
    thief = lab.client(way, client.name, secrets.token_bytes(48))
    thief.connect(seconds=0.5)
    thief.socket.send(b"\x16\xfe\xfd" + bytes(10))  # what kills a listener that is used again (wolfSSL)
    began, used = time.monotonic(), time.process_time()
    time.sleep(2 * QUIET)
    assert time.process_time() - used < (time.monotonic() - began) / 2


def test_odd_hellos_of_dtls_1_3_leave_the_listener_well(lab):
    """wolfSSL, CVE-2025-11936, -11933 and 5.5.1: key shares, cookies and suites named twice and thrice."""
    _, _, client = lab.tunnel(CERTIFICATE)
    share = struct.pack("!HH", 0x1D, 32) + secrets.token_bytes(32)
    shares = struct.pack("!H", 2 * len(share)) + 2 * share
    cookie = b"\x00\x20" + secrets.token_bytes(32)
    oddities = [[(51, shares)], [(51, shares), (51, shares)], [(44, cookie), (44, cookie)], [(44, b"\x00\x00")]]
    for extra in oddities:
        for suites in (b"\x13\x01", b"\x13\x01" * 150):
            client.socket.send(hello := odd_hello(client.name, suites, extra))
            reply = client.receive(QUIET)
            assert len(reply) <= len(hello)
            assert reply[:1] in {b"", b"\x16"}, "no alert before the cookie"
    assert client.shake_hands_and_prove()


def odd_hello(name, suites, extra):
    extensions = [(43, b"\x02\xfe\xfc"), (10, b"\0\x02\0\x1d"), (13, b"\0\x02\x04\x03"), *extra, (21, bytes(200))]
    listed = b"".join(struct.pack("!HH", kind, len(body)) + body for kind, body in extensions)
    body = b"\xfe\xfd" + secrets.token_bytes(32) + b"\x20" + name + b"\0" + struct.pack("!H", len(suites)) + suites
    body += b"\x01\0" + struct.pack("!H", len(listed)) + listed
    size = len(body).to_bytes(3, "big")
    message = b"\x01" + size + bytes(5) + size + body
    return b"\x16\xfe\xfd" + bytes(8) + struct.pack("!H", len(message)) + message


def test_the_library_lacks_what_its_recent_flaws_were_in():
    prefix = subprocess.run(
        [ROOT / "vpn_frontend/native/wolfssl.sh"], check=True, capture_output=True, text=True, timeout=600
    ).stdout.strip()
    options = (Path(prefix) / "include/wolfssl/options.h").read_text(encoding="utf-8")
    switched_on = set(re.findall(r"#define (\w+)", options))
    assert {"WOLFSSL_DTLS13", "WOLFSSL_STATIC_PSK", "HAVE_KEYING_MATERIAL"} <= switched_on
    off = {
        "WOLFSSL_POST_HANDSHAKE_AUTH",  # CVE-2026-55962
        "HAVE_RPK",  # CVE-2026-55960
        "HAVE_ECH",
        "HAVE_SECURE_RENEGOTIATION",  # CVE-2011-1473
        "WOLFSSL_DTLS_CID",
        "OPENSSL_ALL",
    }
    assert not off & switched_on
