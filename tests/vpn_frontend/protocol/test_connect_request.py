# SPDX-License-Identifier: GPL-3.0-or-later
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.protocol.client_family import ClientFamily, client_family
from vpn_frontend.protocol.connect_request import (
    SHARED_AGENTS,
    StrapProof,
    TunnelRequest,
    parse_hostname,
    parse_tunnel_request,
)
from vpn_frontend.protocol.http_fast_path import HttpRequest


def parse(**headers):
    named = tuple((name.replace("_", "-").lower(), value) for name, value in headers.items())
    return parse_tunnel_request(HttpRequest("CONNECT", "/CSCOSSLC/tunnel", "", named, b""))


def test_openconnect_asks_for_a_tunnel():
    request = parse(
        User_Agent="Open AnyConnect VPN Agent v9.01-3",
        X_CSTP_Version="1",
        X_CSTP_Hostname="laptop.example.org",
        X_CSTP_Base_MTU="1500",
        X_CSTP_MTU="1406",
        X_CSTP_Address_Type="IPv6,IPv4",
        X_CSTP_Full_IPv6_Capability="true",
        X_DTLS_Master_Secret="ab" * 48,
        X_DTLS_CipherSuite="PSK-NEGOTIATE",
        X_DTLS12_CipherSuite="ECDHE-RSA-AES256-GCM-SHA384:AES128-GCM-SHA256",
    )
    assert request.family is ClientFamily.OPENCONNECT
    assert request.hostname == "laptop"
    assert (request.base_mtu, request.mtu) == (1500, 1406)
    assert (request.wants_ipv4, request.wants_ipv6, request.full_ipv6, request.mobile) == (True, True, True, False)
    assert request.dtls_psk
    assert request.dtls12_suites == ("ECDHE-RSA-AES256-GCM-SHA384", "AES128-GCM-SHA256")
    assert request.master_secret == b"\xab" * 48


def test_anyconnect_on_a_phone_asks_for_a_tunnel():
    request = parse(
        User_Agent="Cisco AnyConnect VPN Agent for Apple iPhone 4.10.05111",
        X_AnyConnect_Identifier_Platform="apple-ios",
        X_AnyConnect_Identifier_Device_UniqueID="0123abcd",
        X_CSTP_License="mobile",
        X_CSTP_Address_Type="IPv4",
        X_CSTP_MTU="1399",
    )
    assert request.family is ClientFamily.APPLE
    assert request.mobile
    assert request.device_id == "0123abcd"
    assert not request.wants_ipv6
    assert request.base_mtu is None


def test_nothing_is_required():
    request = parse()
    assert request.wants_ipv4
    assert request.wants_ipv6
    assert not request.full_ipv6
    assert request.master_secret == b""


@pytest.mark.parametrize(
    "text", ["", "0", "799", "16385", "65536", "99999999999", "-1500", "+1500", "1e3", "1500x", "٨٠٠"]
)
def test_an_invalid_mtu_counts_as_not_sent(text):
    assert parse(X_CSTP_Base_MTU=text, X_CSTP_MTU=text).base_mtu is None
    assert parse(X_CSTP_Base_MTU=text, X_CSTP_MTU=text).mtu is None


@pytest.mark.parametrize("text", ["800", "1500", "16384", " 1500 "])
def test_an_mtu_in_its_range_is_taken(text):
    assert parse(X_CSTP_Base_MTU=text).base_mtu == int(text)


@pytest.mark.parametrize("secret", ["", "ab" * 47, "ab" * 49, "zz" * 48, "a " * 48])
def test_a_master_secret_is_48_bytes_or_nothing(secret):
    assert parse(X_DTLS_Master_Secret=secret).master_secret == b""


@pytest.mark.parametrize(
    ("text", "host"),
    [("laptop", "laptop"), ("laptop.example.org", "laptop"), ("a", "a"), ("my_host-1", "my_host-1"), ("", ""),
     (".x", ""), ("-a", ""), ("a-", ""), ("a b", ""), ("a" * 64, ""), ("<script>", ""), ("h\u00f6st", ""),
     ("a\n", "")],
)  # fmt: skip
def test_a_hostname_is_a_label_or_nothing(text, host):
    assert parse_hostname(text) == host


@pytest.mark.parametrize(
    ("agent", "family"),
    [
        ("Open AnyConnect VPN Agent v9.01", ClientFamily.OPENCONNECT),
        ("OpenConnect VPN Agent (NetworkManager) v9", ClientFamily.OPENCONNECT),
        ("AnyConnect-compatible OpenConnect VPN Agent v9", ClientFamily.OPENCONNECT),
        ("AnyConnect Windows 5.0.04032", ClientFamily.ANYCONNECT),
        ("Cisco AnyConnect VPN Agent for Windows 4.10", ClientFamily.ANYCONNECT),
        ("Cisco AnyConnect VPN Agent for Apple iPhone", ClientFamily.APPLE),
        ("curl/8", ClientFamily.OTHER),
        ("", ClientFamily.OTHER),
    ],
)
def test_clients_are_told_apart(agent, family):
    assert client_family(agent) is family


def agent_of(number):
    return parse(User_Agent=f"agent of the test, {number}").user_agent


def test_sessions_of_one_client_share_their_user_agent():
    assert agent_of(0) is agent_of(0)


def test_user_agents_are_not_kept_for_ever():
    first = agent_of(0)
    assert sys.intern("".join(list(first))) is not first  # the interpreter may keep what it has there
    for number in range(1, SHARED_AGENTS + 1):
        agent_of(number)
    assert agent_of(0) is not first


HEADERS = st.sampled_from(
    ["x-cstp-base-mtu", "x-cstp-mtu", "x-cstp-hostname", "x-cstp-address-type", "x-dtls-master-secret", "user-agent",
     "x-dtls12-ciphersuite", "x-dtls-ciphersuite", "x-anyconnect-identifier-platform", "x-cstp-license"]
)  # fmt: skip


@given(st.lists(st.tuples(HEADERS, st.text(st.characters(max_codepoint=255), max_size=80)), max_size=12))
def test_any_headers_make_a_request_within_limits(headers):
    request = parse_tunnel_request(HttpRequest("CONNECT", "", "", tuple(headers), b""))
    assert request.base_mtu is None or 800 <= request.base_mtu <= 16384
    assert len(request.master_secret) in (0, 48)
    assert len(request.dtls12_suites) <= 32
    assert request.user_agent == "" or request.user_agent.isprintable()


def test_each_value_stands_in_its_field():
    """The request is made by position."""
    request = parse(
        User_Agent="Cisco AnyConnect VPN Agent for Windows 4.10",
        X_CSTP_Hostname="laptop",
        X_CSTP_Base_MTU="1501",
        X_CSTP_MTU="1402",
        X_CSTP_Address_Type="IPv6",
        X_CSTP_Full_IPv6_Capability="true",
        X_AnyConnect_Identifier_Platform="android",
        X_AnyConnect_Identifier_Device_UniqueID="0123abcd",
        X_DTLS_CipherSuite="A",
        X_DTLS12_CipherSuite="B",
        X_DTLS13_CipherSuite="C",
        X_DTLS_Master_Secret="ab" * 48,
        X_AnyConnect_STRAP_Pubkey="YQ==",
        X_AnyConnect_STRAP_Verify="Yg==",
    )
    assert request == TunnelRequest(
        user_agent="Cisco AnyConnect VPN Agent for Windows 4.10",
        family=ClientFamily.ANYCONNECT,
        hostname="laptop",
        base_mtu=1501,
        mtu=1402,
        wants_ipv4=False,
        wants_ipv6=True,
        full_ipv6=True,
        mobile=True,
        apple=False,
        device_id="0123abcd",
        dtls_suites=("A",),
        dtls12_suites=("B",),
        dtls13_suites=("C",),
        master_secret=b"\xab" * 48,
        strap=StrapProof(b"a", b"b"),
    )
