# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets in another network namespace (``vpn.listen_netns``).

outside: lo, no other link; this process stays where it is
"""

import socket
from os import dup

import pytest

from lab.namespaces import Claim, Namespace
from ocsentry.configuration.model import Config
from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.network_namespace import OWN, SocketsInNamespace
from vpn_frontend.gateway.sockets import close_all, start_listening
from vpn_frontend.settings import parse_endpoint

ENDPOINT = parse_endpoint("127.0.0.1:443")


@pytest.fixture
def outside():
    claim = Claim()
    namespace = Namespace.create(claim.name("o"))
    namespace.ip("link set lo up")
    yield namespace
    namespace.delete()
    claim.release()


@pytest.mark.netns
def test_sockets_are_in_the_namespace_and_the_thread_is_not(outside):
    own = OWN.readlink()
    opener = SocketsInNamespace(outside.name, None)
    (listeners,), (datagrams,) = opener.bind_listeners([ENDPOINT], 1), opener.open_datagram_sockets([ENDPOINT], 1)
    try:
        start_listening(listeners)
        assert OWN.readlink() == own
        with outside.socket() as client, outside.socket(kind=socket.SOCK_DGRAM) as other:
            client.settimeout(5)
            client.connect(("127.0.0.1", 443))
            other.sendto(b"hello", ("127.0.0.1", 443))
        with socket.socket(fileno=dup(datagrams[0])) as received:
            assert received.recv(16) == b"hello"
    finally:
        close_all([*listeners, *datagrams])


@pytest.mark.netns
def test_a_missing_namespace_is_told(outside):
    own = OWN.readlink()
    with pytest.raises(PrivilegeError, match=r"vpn\.listen_netns: there is no network namespace gone: No such file"):
        SocketsInNamespace("gone", None).bind_listeners([ENDPOINT], 1)
    assert OWN.readlink() == own


@pytest.mark.parametrize("name", ["../x", "a/b", ".", "..", ".hidden"])
def test_a_name_is_no_path(name, tmp_path):
    with pytest.raises(ValueError, match="listen_netns"):
        Config.model_validate({"vpn": {"listen_netns": name}}, context={"base": tmp_path})


def test_the_packet_filter_would_look_elsewhere(tmp_path):
    document = {"vpn": {"listen_netns": "outside"}, "policy": {"kernel": "nftables"}}
    with pytest.raises(ValueError, match=r"policy\.kernel works in the namespace of the server only"):
        Config.model_validate(document, context={"base": tmp_path})
