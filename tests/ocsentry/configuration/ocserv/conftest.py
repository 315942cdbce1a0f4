# SPDX-License-Identifier: GPL-3.0-or-later
"""A minimal ``ocserv.conf``, and its translation without a file of it on disk."""

import pytest

from ocsentry.configuration.ocserv.target import Surroundings
from ocsentry.configuration.ocserv.translation import translate
from vpn_frontend.ocserv.grammar import parse

MINIMAL = {
    "auth": "plain[passwd=users]",
    "tcp-port": "443",
    "udp-port": "443",
    "device": "vpns",
    "server-cert": "cert.pem",
    "server-key": "key.pem",
    "ipv4-network": "192.0.2.0/24",
}
HOSTS = {"vpn.example.com": ("198.51.100.1", "2001:db8::1")}


def render(settings):
    """The lines of a file: ``MINIMAL`` with ``settings`` over it; ``None`` leaves a key out, a list repeats it."""
    lines = []
    for key, value in {**MINIMAL, **settings}.items():
        values = value if isinstance(value, list) else [value]
        lines += [f"{key} = {one}" for one in values if one is not None]
    return "\n".join(lines) + "\n"


@pytest.fixture
def translated(tmp_path):
    """Returns the translation of ``MINIMAL`` with other settings; ``more`` is text behind them."""

    def read(path):
        return path.read_bytes()

    def resolve(host):
        if host not in HOSTS:
            raise OSError(-2, "Name or service not known")
        return HOSTS[host]

    def translate_settings(settings, more=""):
        parsed = parse((render(settings) + more).encode())
        assert parsed.errors == ()
        around = Surroundings(
            tmp_path, tmp_path / "state", read, resolve, lambda: [("wheel", 10), ("staff", 1000)], tmp_path
        )
        return translate(parsed, around)

    return translate_settings
