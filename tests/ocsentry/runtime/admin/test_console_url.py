# SPDX-License-Identifier: GPL-3.0-or-later
"""The address in the link that ``ocsentry console`` prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocsentry.configuration.sections.admin import AdminSection
from ocsentry.runtime.admin.console_url import console_url

TLS = {"certificate": Path("/c.pem"), "private_key": Path("/k.pem")}


@pytest.mark.parametrize(
    ("section", "url"),
    [
        ({"listen": "127.0.0.1:8443"}, "http://127.0.0.1:8443/console"),
        ({"listen": "[::1]:8443"}, "http://[::1]:8443/console"),
        ({"listen": "0.0.0.0:443", **TLS}, "https://localhost:443/console"),
        ({"listen": "[::]:443", "hosts": ["vpn.example.org"], **TLS}, "https://vpn.example.org:443/console"),
        ({"listen": ""}, ""),
    ],
    ids=["loopback", "IPv6", "every address", "a name", "no port"],
)
def test_the_url_names_what_a_browser_can_reach(section, url):
    assert console_url(AdminSection.model_validate(section)) == url
