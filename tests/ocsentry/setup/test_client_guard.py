# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables rules of `ocsentry network up`: who reaches clients, and under which address clients appear.

host on the wire 10.9.1.2 ─ wire ┐
client 192.168.99.2 ─────── ocs0 ┴ gateway (10.9.1.1, 192.168.99.1), forwards; ocs0 is a veth: rules see names only
"""

from __future__ import annotations

import contextlib
import socket

import pytest

from lab.namespaces import Claim, Namespace
from lab.timeouts import TIMEOUT
from ocsentry.configuration.model import load_config
from ocsentry.setup import host_network
from ocsentry.setup.client_guard import guarded_families, read_ruleset
from ocsentry.setup.host_network import render_rules

SOON = 0.5  # seconds in which a packet over two veth pairs would arrive
CLIENT, SERVER, WIRE, OUTSIDE = "192.168.99.2", "192.168.99.1", "10.9.1.2", "10.9.1.1"


def rule(*expressions, family="inet"):
    return {"rule": {"family": family, "table": "t", "chain": "c", "expr": list(expressions)}}


def chain(family="inet", hook="forward", policy="accept"):
    return {"chain": {"family": family, "table": "t", "name": "c", "hook": hook, "policy": policy}}


def to(name, op="==", key="oifname"):
    return {"match": {"op": op, "left": {"meta": {"key": key}}, "right": name}}


DROP = {"drop": None}
OTHER = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}


@pytest.mark.parametrize(
    ("ruleset", "guarded"),
    [
        ([], set()),
        ([chain(policy="drop")], {"IPv4", "IPv6"}),
        ([chain(family="ip", policy="drop")], {"IPv4"}),
        ([chain(hook="input", policy="drop")], set()),
        ([chain(), rule(to("ocs0"), {"counter": {}}, DROP)], {"IPv4", "IPv6"}),
        ([chain(family="ip6"), rule(to("ocs0"), {"reject": None}, family="ip6")], {"IPv6"}),
        ([chain(), rule(to({"set": ["eth9", "ocs0"]}), DROP)], {"IPv4", "IPv6"}),
        ([chain(), rule(to("ocs*"), DROP)], {"IPv4", "IPv6"}),
        ([chain(), rule(to("ocs1"), DROP)], set()),
        ([chain(), rule(to("ocs0", op="!="), DROP)], set()),
        ([chain(), rule(to("ocs0", key="iifname"), DROP)], set()),
        ([chain(), rule(to("ocs0"), OTHER, DROP)], set()),
        ([chain(), rule(to("ocs0"), {"accept": None})], set()),
        ([chain(hook="input"), rule(to("ocs0"), DROP)], set()),
    ],
    ids=lambda value: None,
)
def test_what_guards_clients(ruleset, guarded):
    assert guarded_families(ruleset, "ocs0") == guarded


@pytest.fixture
def wired():
    claim = Claim()
    gateway, client, wire = (Namespace.create(claim.name(name)) for name in ("gw", "in", "out"))
    for other, device, inner, outer in ((client, "ocs0", CLIENT, SERVER), (wire, "wire", WIRE, OUTSIDE)):
        gateway.ip(
            f"link add {device} type veth peer name eth0 netns {other.name}",
            f"addr add {outer}/24 dev {device}",
            f"link set {device} up",
        )
        other.ip(f"addr add {inner}/24 dev eth0", "link set eth0 up", f"route add default via {outer}")
    gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    yield gateway, client, wire
    claim.release()


def arrives(sender, receiver, address, *, source=None):
    """True if a datagram from ``sender`` reaches ``receiver`` at ``address``; then its answer comes back, too."""
    with (
        receiver.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening,
        sender.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending,
    ):
        listening.bind((address, 7))
        if source is not None:
            sending.bind((source, 0))
        listening.settimeout(SOON)
        sending.settimeout(TIMEOUT)
        with contextlib.suppress(PermissionError):
            sending.sendto(b"ping", (address, 7))
        try:
            _, peer = listening.recvfrom(10)
        except TimeoutError:
            return False
        listening.sendto(b"pong", peer)
        return sending.recv(10) == b"pong"


@pytest.mark.netns
def test_hosts_on_the_wire_reach_no_client_and_clients_reach_them(wired, initialised, tmp_path):
    gateway, client, wire = wired
    rules = tmp_path / "network.nft"
    rules.write_text(render_rules(load_config(initialised / "ocsentry.toml")))
    wire.ip("addr add 192.168.99.77/32 dev eth0")  # a source that is a client's
    with gateway.entered():
        assert guarded_families(read_ruleset(), "ocs0") == set()
    assert arrives(wire, client, CLIENT)
    assert arrives(wire, gateway, SERVER)
    for _ in range(2):  # it may be loaded again
        gateway.run("nft", "-f", str(rules))
    with gateway.entered():
        assert guarded_families(read_ruleset(), "ocs0") == {"IPv4", "IPv6"}
    assert not arrives(wire, client, CLIENT)
    assert not arrives(wire, gateway, SERVER)
    assert not arrives(wire, gateway, OUTSIDE, source="192.168.99.77")
    assert arrives(client, wire, WIRE)
    assert arrives(client, gateway, SERVER)
    assert arrives(wire, gateway, OUTSIDE)


@pytest.mark.netns
def test_clients_appear_with_the_servers_address_until_the_table_is_removed(wired, command_line, monkeypatch, tmp_path):
    gateway, client, wire = wired
    monkeypatch.setattr(host_network, "SYSCTL_FILE", tmp_path / "sysctl.d" / "60-ocsentry.conf")
    with gateway.entered():
        command_line.ok("network", "up")
    assert source_seen(client, wire) == OUTSIDE
    assert gateway.run("sysctl", "-n", "net.ipv6.conf.all.forwarding").strip() == "1"
    assert (command_line.folder / "network.nft").exists()
    with gateway.entered():
        command_line.ok("network", "down")
        command_line.ok("network", "down")  # again: nothing to do
        assert "ocsentry" not in str(read_ruleset())
    assert source_seen(client, wire) == CLIENT


def source_seen(sender, receiver):
    with receiver.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind((WIRE, 9))
        listening.settimeout(TIMEOUT)
        with sender.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.sendto(b"ping", (WIRE, 9))
        return listening.recvfrom(10)[1][0]


def test_a_default_route_from_advertisements_survives_forwarding(monkeypatch, tmp_path, initialised):
    table = tmp_path / "ipv6_route"
    zero, gateway = "0" * 32, "fe80" + "0" * 24 + "0001"
    table.write_text(f"{zero} 00 {zero} 00 {gateway} 00000400 00000001 00000000 00450003     eth0\n")
    monkeypatch.setattr(host_network, "ROUTES6", table)
    text = host_network.render_forwarding(load_config(initialised / "ocsentry.toml"))
    assert text.index("net.ipv6.conf.eth0.accept_ra = 2") < text.index("net.ipv6.conf.all.forwarding = 1")
