# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper's verbs: what is outside the scope is refused, and what is malformed ends the helper."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address, ip_network

import pytest

from ocsentry.privileges.helper import verbs
from ocsentry.privileges.helper.client import Helper, HelperError
from ocsentry.privileges.helper.files import MAX_FILE
from ocsentry.privileges.helper.protocol import MAX_MESSAGE, ProtocolError, receive_message, send_message
from ocsentry.privileges.helper.scope import Scope
from ocsentry.privileges.helper.verbs import Refused, open_sockets, open_tun, read_key, route
from tests.vpn_frontend.reserved_ports import port_of, reserve_port
from vpn_frontend.gateway.sockets import ListenError
from vpn_frontend.gateway.tun import TunDevice
from vpn_frontend.settings import parse_endpoint


@pytest.fixture
def scope(tmp_path):
    (tmp_path / "server.key").write_text("the key")
    return Scope(
        files={"vpn.private_key": tmp_path / "server.key", "vpn.certificate": tmp_path / "missing"},
        device=TunDevice("ocstest9", (), 1400),
        networks=(ip_network("192.168.99.0/24"), ip_network("fd00:99::/64")),
        listeners=("127.0.0.1:443",),
        datagrams=("127.0.0.1:443",),
    )


@pytest.fixture
def helper(scope):
    helper = Helper.start(scope)
    try:
        helper.confine(seccomp="kill", landlock=True)
        yield helper
    finally:
        helper.close()


def test_a_scope_survives_its_way_to_the_helper(scope):
    assert Scope.parse(scope.render()).render() == scope.render()


@pytest.mark.parametrize("file", ["", "vpn", "/etc/shadow", "../server.key", None, 7])
def test_only_configured_files_are_read(scope, file):
    with pytest.raises(Refused):
        read_key(scope, {"file": file})


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.mkdir()])
def test_only_regular_files_are_read(scope, make):
    path = scope.files["vpn.private_key"]
    path.unlink()
    make(path)
    with pytest.raises(Refused):
        read_key(scope, {"file": "vpn.private_key"})


def test_a_large_file_is_refused(scope):
    scope.files["vpn.private_key"].write_bytes(bytes(MAX_FILE + 1))
    with pytest.raises(Refused):
        read_key(scope, {"file": "vpn.private_key"})


@pytest.mark.parametrize("queues", [0, -1, 129, "1", None, 1.5])
def test_the_number_of_queues_is_bounded(scope, queues):
    with pytest.raises(Refused):
        open_tun(scope, {"queues": queues})


@pytest.mark.parametrize("endpoint", ["127.0.0.1:444", "0.0.0.0:443", "", None, ["127.0.0.1:443"]])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_only_configured_endpoints_are_bound(scope, endpoint, protocol):
    with pytest.raises(Refused):
        open_sockets(scope, {"protocol": protocol, "endpoint": endpoint, "count": 1})


@pytest.mark.parametrize(
    "network", ["0.0.0.0/0", "192.168.0.0/16", "10.0.0.0/8", "::/0", "fd00::/8", "192.168.99.1/24", "x", None]
)
def test_only_networks_of_the_vpn_are_routed(scope, network):
    with pytest.raises(Refused):
        route(scope, {"action": "add", "network": network})


def test_a_network_of_the_host_is_not_routed(scope, monkeypatch):
    monkeypatch.setattr(
        verbs, "local_networks", lambda device: [ip_network("192.168.99.128/25"), ip_network("fd00::/8")]
    )
    with pytest.raises(Refused, match="overlaps with a network of this host"):
        route(scope, {"action": "add", "network": "192.168.99.160/28"})


@pytest.mark.parametrize("address", ["192.168.99.129/32", "192.168.99.130/32"])
def test_an_address_of_the_host_or_its_gateway_is_not_routed(scope, monkeypatch, address):
    monkeypatch.setattr(verbs, "local_networks", lambda device: [ip_network("192.168.99.128/25")])
    taken = frozenset({ip_address("192.168.99.129"), ip_address("192.168.99.130")})
    monkeypatch.setattr(verbs, "taken_addresses", lambda: taken)
    with pytest.raises(Refused, match="of this host or of its gateway"):
        route(scope, {"action": "add", "network": address})
    with pytest.raises(OSError, match="TUN device"):  # what is free there gets as far as the kernel
        route(scope, {"action": "add", "network": "192.168.99.131/32"})


@pytest.mark.parametrize("action", ["replace", "", None, "flush"])
def test_a_route_is_added_or_deleted(scope, action):
    with pytest.raises(Refused):
        route(scope, {"action": action, "network": "192.168.99.0/28"})


def test_the_helper_process_reads_a_key_and_says_what_it_cannot(helper, scope):
    assert helper.read_key(scope.files["vpn.private_key"], 100) == b"the key"
    assert helper.read_key(scope.files["vpn.private_key"], 3) == b"the"
    with pytest.raises(HelperError, match="No such file"):
        helper.read_key(scope.files["vpn.certificate"], 100)
    with pytest.raises(HelperError, match="names no such file"):
        helper.read_key(scope.files["vpn.certificate"].parent, 100)
    with pytest.raises(ListenError, match="names no such endpoint"):
        helper.bind_listeners([parse_endpoint("127.0.0.1:1")], 2)
    with pytest.raises(HelperError, match="no such verb"):
        helper._ask({"verb": "execute"}, 0)


def test_a_file_that_was_replaced_is_read_anew(helper, scope):
    path = scope.files["vpn.private_key"]
    new = path.with_suffix(".new")
    new.write_text("another")
    new.rename(path)
    assert helper.read_key(path, 100) == b"another"


def test_the_helper_process_binds_sockets_for_every_worker(tmp_path):
    with reserve_port() as reserved:
        endpoint = parse_endpoint(f"127.0.0.1:{port_of(reserved)}")
        helper = Helper.start(Scope({}, TunDevice("ocstest9", (), 1400), (), (str(endpoint),), ()))
        try:
            helper.confine(seccomp="kill", landlock=True)
            rows = helper.bind_listeners([endpoint], 3)
            assert [len(row) for row in rows] == [1, 1, 1]
            for (descriptor,) in rows:
                with socket.socket(fileno=descriptor) as bound:
                    assert bound.getsockname()[1] == endpoint.port
        finally:
            helper.close()


def test_the_end_of_the_helper_is_noticed(helper):
    assert not helper.has_ended()
    helper._process.kill()
    helper._process.wait()
    assert helper.has_ended()
    with pytest.raises(HelperError, match="gone"):
        helper._ask({"verb": "read_key"}, 1)


def test_messages_are_bounded_objects():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        with pytest.raises(ValueError, match="too large"):
            send_message(ours, {"x": "y" * MAX_MESSAGE})
        for packet in (b"[]", b"{", b"\xff"):
            ours.send(packet)
            with pytest.raises(ProtocolError):
                receive_message(theirs)
        send_message(ours, {"id": 1}, (ours.fileno(),))
        document, (descriptor,) = receive_message(theirs)
        assert document == {"id": 1}
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)
        ours.close()
        assert receive_message(theirs) is None
