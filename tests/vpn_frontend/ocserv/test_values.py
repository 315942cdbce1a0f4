# SPDX-License-Identifier: GPL-3.0-or-later
"""Values as ocserv reads them, with a remark where it reads something else than what is written."""

import pytest

from vpn_frontend.ocserv.values import (
    read_labelled,
    read_method,
    read_network,
    read_number,
    read_ports,
    read_switch,
)


@pytest.mark.parametrize(
    ("text", "on", "remark"),
    [("true", True, False), ("YES", True, False), ("no", False, False), ("False", False, False)]
    + [(text, False, True) for text in ("1", "on", "enable", "")],
)
def test_switches(text, on, remark):
    value, said = read_switch(text)
    assert (value, bool(said)) == (on, remark)


@pytest.mark.parametrize(
    ("text", "number", "remark"),
    [("90", 90, ""), ("10s", 10, "as 10"), ("ten", 0, "as 0"), ("", 0, "as 0"), ("0x10", 0, "as 0")],
)
def test_numbers(text, number, remark):
    value, said = read_number(text)
    assert value == number
    assert remark in said
    assert bool(said) is bool(remark)


@pytest.mark.parametrize("text", ["-1", "99999999999", "9" * 5000])
def test_numbers_out_of_range(text):
    with pytest.raises(ValueError, match="not a number from 0"):
        read_number(text)


@pytest.mark.parametrize(
    ("text", "network", "stripped"),
    [
        ("192.168.1.0/255.255.255.0", "192.168.1.0/24", False),
        ("10.0.0.1", "10.0.0.1/32", False),
        ("10.0.0.1/8", "10.0.0.0/8", True),
        ("FD00::/64", "fd00::/64", False),
        ("fd00::1/64", "fd00::/64", True),
    ],
)
def test_networks(text, network, stripped):
    value, said = read_network(text)
    assert (str(value), bool(said)) == (network, stripped)


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "example.com", "10.0.0.0/255.0.255.0"])
def test_other_text_is_no_network(text):
    with pytest.raises(ValueError, match="is not a network"):
        read_network(text)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("tcp(443), udp(53)", ["tcp/443", "udp/53"]),
        ("icmp(), icmpv6(), esp(),", ["icmp", "icmpv6", "esp"]),
        ("!(tcp(22), icmp())", ["!tcp/22", "!icmp"]),
        ("", []),
    ],
)
def test_ports(text, rules):
    assert read_ports(text) == rules


@pytest.mark.parametrize("text", ["tcp", "tcp(0)", "tcp(65536)", "!tcp(22)", "gre()", "tcp(1))"])
def test_wrong_ports(text):
    with pytest.raises(ValueError, match=r"\w"):
        read_ports(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [("office", ("office", "")), ("office[The office]", ("office", "The office")), ("a b [c]", ("a b", "c"))],
)
def test_labels(text, parts):
    assert read_labelled(text) == parts


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("certificate", ("certificate", {})),
        ("plain[/etc/ocserv/passwd]", ("plain", {"": "/etc/ocserv/passwd"})),
        ("plain[passwd=/etc/p, otp=/etc/o]", ("plain", {"passwd": "/etc/p", "otp": "/etc/o"})),
        ("PAM", ("pam", {})),
    ],
)
def test_methods(text, method):
    assert read_method(text) == method


@pytest.mark.parametrize("text", ["", "plain[x", "plain[a=1,b=2,c=3,d=4,e=5,f=6]"])
def test_wrong_methods(text):
    with pytest.raises(ValueError, match=r"\w"):
        read_method(text)
