# SPDX-License-Identifier: GPL-3.0-or-later
"""What Python and the gateway's C sources both state is the same."""

import re
from pathlib import Path

from vpn_frontend.gateway.interface import DTLS12_SUITES, DTLS13_SUITES, OC_DTLS12_SUITES
from vpn_frontend.protocol.constants import MIN_MTU

NATIVE = Path(__file__).parents[3] / "vpn_frontend" / "native"
SOURCES = "\n".join(path.read_text() for path in sorted(NATIVE.rglob("*.[ch]")))
WOLFSSL_NAMES = {  # of TLS's registry
    "TLS_AES_256_GCM_SHA384": "TLS13-AES256-GCM-SHA384",
    "TLS_AES_128_GCM_SHA256": "TLS13-AES128-GCM-SHA256",
    "TLS_CHACHA20_POLY1305_SHA256": "TLS13-CHACHA20-POLY1305-SHA256",
}


def test_the_suites_of_resumption_are_those_of_the_gateway():
    named = re.findall(r'\{ "([A-Z0-9_-]+)", *\{ 0x[0-9a-f]{2}, 0x[0-9a-f]{2} \} \}', SOURCES)
    assert tuple(named) == (*DTLS12_SUITES, *OC_DTLS12_SUITES)


def test_the_suites_of_the_certificate_are_those_of_the_gateway():
    [suites] = re.findall(r'\bcertificate_suites\[\] = "([^"]+)"', SOURCES)
    assert suites.split(":") == [WOLFSSL_NAMES[suite] for suite in DTLS13_SUITES]


def test_the_gateway_takes_every_mtu_that_python_grants():
    [least] = re.findall(r"\bGW_MTU_MIN\s+(?:=\s*)?(\d+)", SOURCES)
    assert int(least) <= MIN_MTU
