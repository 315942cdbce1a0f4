# SPDX-License-Identifier: GPL-3.0-or-later
"""Ciphers as GnuTLS writes them."""

import pytest

from ocsentry.occtl.figures import show_cipher


@pytest.mark.parametrize(
    ("version", "name", "shown"),
    [
        ("DTLS1.2", "PSK-AES256-GCM-SHA384", "(DTLS1.2)-(PSK)-(AES-256-GCM)"),
        ("DTLS1.2", "AES128-GCM-SHA256", "(DTLS1.2)-(RSA)-(AES-128-GCM)"),
        ("DTLS1.2", "DHE-RSA-AES256-GCM-SHA384", "(DTLS1.2)-(DHE-RSA)-(AES-256-GCM)"),
        ("TLS1.2", "ECDHE-ECDSA-CHACHA20-POLY1305", "(TLS1.2)-(ECDHE-ECDSA)-(CHACHA20-POLY1305)"),
        ("TLS1.3", "TLS13-CHACHA20-POLY1305-SHA256", "(TLS1.3)-(CHACHA20-POLY1305)"),
        ("TLS1.2", "something else", "(TLS1.2)-(something else)"),
    ],
)
def test_ciphers(version, name, shown):
    assert show_cipher(version, name) == shown
