# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers by name, on a host with /etc/protocols and /etc/services and on one without."""

import socket

import pytest

from sentry_engine.wolfsentry import numbers


def missing(*_):
    raise OSError("protocol not found")


def test_common_names_need_no_file_of_the_host(monkeypatch):
    monkeypatch.setattr(numbers, "getprotobyname", missing)
    monkeypatch.setattr(numbers, "getservbyname", missing)
    assert [numbers.protocol_number(name) for name in ("tcp", "udp", "icmp", "ipv6-icmp")] == [6, 17, 1, 58]
    assert [numbers.port_number(name) for name in ("https", "ssh")] == [443, 22]
    with pytest.raises(ValueError, match="'ospf' is no protocol known here"):
        numbers.protocol_number("ospf")
    with pytest.raises(ValueError, match="'gopher' is no service known here"):
        numbers.port_number("gopher")


@pytest.mark.parametrize("name", numbers.PROTOCOLS)
def test_the_table_says_what_the_host_says(name):
    try:
        known = socket.getprotobyname(name)
    except OSError:
        return  # an alias that this host does not list
    assert numbers.PROTOCOLS[name] == known
