# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocsentry block`` names the operator's own address, and asks for force only when told to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ocsentry.cli.commands.blocks import block, ssh_client, unblock
from ocsentry.cli.commands.service import _render_status
from ocsentry.cli.invocation import CommandError


@pytest.fixture
def asked(monkeypatch):
    """The queries of ``block``, over SSH from 203.0.113.7."""
    monkeypatch.setenv("SSH_CLIENT", "203.0.113.7 50000 22")
    return []


@pytest.fixture
def cli(asked):
    def post(resource, body, **query):
        asked.append({name: value for name, value in query.items() if value is not None})
        return {"sessions_cut": 0, "cidr": body["cidr"]}

    return SimpleNamespace(server=SimpleNamespace(post=post), emit=lambda *_: None)


def test_the_source_of_the_ssh_session_is_protected(cli, asked):
    block(cli, "198.51.100.0/24")
    assert asked == [{"protect": "203.0.113.7"}]


def test_force_is_sent(cli, asked):
    block(cli, "0.0.0.0/0", force=True)
    assert asked == [{"protect": "203.0.113.7", "force": True}]


@pytest.mark.parametrize(
    ("value", "address"),
    [("2001:db8::1 50000 22", "2001:db8::1"), ("", None), (" ", None), ("nonsense 1 2", None), (None, None)],
)
def test_ssh_client(value, address):
    assert ssh_client({} if value is None else {"SSH_CLIENT": value}) == address


BLOCK = "0197f0aa-0000-7000-8000-000000000001"
NETWORK = "198.51.100.0/24"


class Blocks:
    """Answers for one block, and notes what was asked."""

    def __init__(self):
        self.asked = []

    def items(self, resource, **query):
        self.asked.append(query)
        return [{"id": BLOCK, "cidr": NETWORK}] if query.get("cidr") == NETWORK or "covers" in query else []

    def get(self, resource):
        self.asked.append(resource)
        return {"id": BLOCK, "cidr": NETWORK}

    def delete(self, resource):
        self.asked.append(resource)


def test_unblock_asks_for_one_block_alone():
    for target, asked in ((NETWORK, {"cidr": NETWORK}), (BLOCK, f"blocks/{BLOCK}")):
        server = Blocks()
        unblock(SimpleNamespace(server=server, emit=lambda *_: None), target)
        assert server.asked == [asked, f"blocks/{BLOCK}"]


def test_unblock_names_the_block_that_covers_the_address():
    with pytest.raises(CommandError, match=r"inside the block of 198\.51\.100\.0/24"):
        unblock(SimpleNamespace(server=Blocks(), emit=lambda *_: None), "198.51.100.7")


def test_status_counts_in_words():
    policy = {"version": 3, "rules": 1, "files": ["/etc/a.json", "api:r1", "api:r2"]}
    counts = {"sessions": 1, "leases": 1, "blocks": 0, "penalties": 0}
    said = _render_status({"version": "1", "uptime": 1, "ready": True, "problems": [], **counts, "policy": policy})
    assert "1 (1 lease)" in said
    assert "version 3, 1 rule from 1 file and the API" in said


def test_status_tells_of_pools_and_certificates():
    policy = {"version": 3, "rules": 1, "files": []}
    counts = {"sessions": 1, "leases": 1, "blocks": 0, "penalties": 0}
    pools = [{"network": "192.168.99.0/24", "addresses": 253, "used": 1}]
    pools.append({"network": "fd00::/64", "addresses": 2**53, "used": 2})
    certificates = [{"use": "vpn", "expires_at": "2030-04-01T00:00:00Z", "self_signed": True}]
    document = {"version": "1", "uptime": 1, "ready": True, "problems": [], **counts, "policy": policy}
    said = _render_status({**document, "pools": pools, "certificates": certificates})
    assert "pool      192.168.99.0/24: 1 of 253" in said
    assert "pool      fd00::/64: 2 in use" in said
    assert "ends      certificate of the VPN, 2030-04-01T00:00:00Z, self-signed" in said
