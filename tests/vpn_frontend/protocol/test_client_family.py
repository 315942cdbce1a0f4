# SPDX-License-Identifier: GPL-3.0-or-later
"""Old versions of openconnect are told apart, because they take no IPv6 routes."""

import pytest

from vpn_frontend.protocol.client_family import ClientFamily, client_family


@pytest.mark.parametrize(
    ("user_agent", "family"),
    [
        ("Open AnyConnect VPN Agent v3", ClientFamily.OPENCONNECT_3),
        ("Open AnyConnect VPN Agent v2.26", ClientFamily.OPENCONNECT_3),
        ("Open AnyConnect VPN Agent v30", ClientFamily.OPENCONNECT),
        ("Open AnyConnect VPN Agent v9.01-3", ClientFamily.OPENCONNECT),
        ("Open AnyConnect VPN Agent", ClientFamily.OPENCONNECT),
    ],
)
def test_versions_of_openconnect(user_agent, family):
    assert client_family(user_agent) is family
