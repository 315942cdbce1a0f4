# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that speak to each other over real TLS on loopback, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import ssl
from dataclasses import replace
from ipaddress import ip_address

import httpx
import pytest
import pytest_asyncio

from admin_api.connections.bound_socket import bind_endpoint
from admin_api.fleet.calls import Calls
from admin_api.fleet.peers import caller, listener
from admin_api.fleet.peers.caller import Told
from admin_api.fleet.peers.identity import PeerIdentity, server_name
from admin_api.fleet.peers.listener import MAX_BODY
from admin_api.fleet.peers.service import Peers
from admin_api.fleet.sessions import admission
from lab.timeouts import TIMEOUT
from tests.admin_api.fleet.conftest import SECRET
from tests.admin_api.fleet.crowd import SOURCE, Node, make_entry
from vpn_frontend.sessions.fleet.port import AdmitStatus, ClaimStatus
from vpn_frontend.settings import Endpoint

pytestmark = pytest.mark.asyncio
SESSION = "ab" * 16


class Peer:
    """One node with its port. ``orders``: what it was told; ``answers``: whether its sessions are closed then."""

    def __init__(self, membership, peers, calls, url):
        self.membership, self.peers, self.calls, self.url = membership, peers, calls, url
        self.orders, self.answers = [], True

    @property
    def id(self):
        return self.membership.identity.node

    async def tell(self, other, kind="let_go", session=SESSION, generation=1):
        return await self.peers.caller.tell(other.id, kind, session, generation, TIMEOUT)

    async def carry_out(self, message):
        self.orders.append((message.sender, message.kind, message.session, message.generation))
        return self.answers


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """However slow the machine, nothing is given up."""
    for module, name in (
        (caller, "CONNECT_TIME"),
        (caller, "GONE_TIME"),
        (listener, "HANDSHAKE_TIME"),
        (listener, "MESSAGE_TIME"),
    ):
        monkeypatch.setattr(module, name, TIMEOUT)
    for name in ("LET_GO_PATIENCE", "CONTEST_PATIENCE"):
        monkeypatch.setattr(admission, name, TIMEOUT)
    monkeypatch.setattr(listener, "WORK_TIME", TIMEOUT)
    monkeypatch.setattr(Calls.call, "__defaults__", (TIMEOUT,))


@pytest_asyncio.fixture
async def make_peer(make_node, fleet_url):
    made = []

    async def make_peer(name):
        port = bind_endpoint(Endpoint(ip_address("127.0.0.1"), 0))
        url = f"https://127.0.0.1:{port.getsockname()[1]}"
        membership = await make_node(name, peer_url=url)
        calls = Calls(fleet_url)
        peer = Peer(membership, None, calls, url)
        settings = membership.settings
        peer.peers = Peers(settings, membership.lease, calls, membership.seen, port, peer.carry_out)
        peer.peers.start()
        made.append(peer)
        return peer

    yield make_peer
    for peer in made:
        await peer.peers.stop()
        await peer.calls.close()


@pytest_asyncio.fixture
async def pair(make_peer):
    return await make_peer("n1"), await make_peer("n2")


def call(peer, identity, body, *, name=None, path="/v1/message", method="POST"):
    """One request as something else than ``PeerCaller`` sends it. Returns the answer."""
    with httpx.Client(verify=identity.client_context(), trust_env=False, timeout=TIMEOUT) as client:
        more = {"extensions": {"sni_hostname": server_name(name or peer.membership.settings.name)}}
        return client.request(method, peer.url + path, content=body, **more)


def message_of(peer, **changed):
    told = {"sender": peer.membership.settings.name, "epoch": peer.membership.identity.epoch, "serial": 1_000}
    return json.dumps({**told, "kind": "evict", "session": SESSION, "generation": 1, **changed})


async def test_an_order_is_carried_out_and_answered(pair):
    one, other = pair
    assert await one.tell(other, generation=4) is Told.DONE
    other.answers = False
    assert await one.tell(other, "evict") is Told.UNKNOWN
    assert await other.tell(one, "contest") is Told.DONE
    assert other.orders == [("n1", "let_go", SESSION, 4), ("n1", "evict", SESSION, 1)]
    assert one.orders == [("n2", "contest", SESSION, 1)]
    assert one.peers.caller.counts == {Told.DONE: 1, Told.GONE: 0, Told.UNKNOWN: 1}


async def test_a_process_that_is_gone_is_told_from_one_that_is_silent(pair):
    one, other = pair
    await other.peers.stop()
    assert await one.tell(other) is Told.GONE
    host, _, port = other.url.removeprefix("https://").partition(":")
    with socket.create_server((host, int(port))):  # accepts, and says nothing
        assert await one.tell(other) is Told.GONE, "for a moment it is not even called"
        one.peers.caller._gone.clear()
        told = await one.peers.caller.tell(other.id, "let_go", SESSION, 1, 0.2)
        assert told is Told.UNKNOWN
    assert await one.tell(other) is Told.UNKNOWN, "it is left alone for a while"
    nowhere = replace_url(one, other, "")
    assert await nowhere is Told.UNKNOWN


async def replace_url(one, other, url):
    directory = one.peers.directory
    directory._peers[other.id] = replace(directory._peers[other.id], url=url)
    one.peers.caller._paused.clear()
    return await one.tell(other)


async def test_a_foreign_certificate_and_none_are_refused_with_an_event(pair):
    one, other = pair
    stranger = PeerIdentity(bytes(32), "n1")
    stranger._trusted = PeerIdentity(SECRET, "n1")._trusted  # it does not mind whom it speaks to
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await asyncio.to_thread(call, other, stranger, message_of(one))
    refused = await other.membership.seen.wait_for("fleet_peer_refused")
    assert refused == {"source": "127.0.0.1", "node": "", "reason": "certificate", "earlier": 0}
    other.peers.refusals._told.clear()
    bare = ssl.create_default_context()
    bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(httpx.HTTPError):
        await asyncio.to_thread(httpx.post, other.url, verify=bare, trust_env=False)
    await other.membership.seen.wait_for("fleet_peer_refused", 2)
    other.peers.refusals._told.clear()
    await asyncio.to_thread(send_plainly, other)
    await other.membership.seen.wait_for("fleet_peer_refused", 3)
    assert other.orders == []


def send_plainly(peer):
    host, _, port = peer.url.removeprefix("https://").partition(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while plain.recv(4096):
            pass


async def test_another_node_at_the_address_is_not_told(pair, make_peer):
    one, other = pair
    third = await make_peer("n3")
    await one.tell(other)
    assert await replace_url(one, other, third.url) is Told.UNKNOWN
    assert one.membership.seen.of("fleet_peer_refused")[0]["reason"] == "certificate"
    assert third.orders == []


async def test_what_the_certificate_does_not_cover_and_the_past_are_refused(pair, ask):
    one, other = pair
    as_one = PeerIdentity(SECRET, "n1")

    async def refused(body, identity=as_one, status=403):
        answer = await asyncio.to_thread(call, other, identity, body)
        assert answer.status_code == status, answer.text
        return answer.json()["refusal"]

    assert (await asyncio.to_thread(call, other, as_one, message_of(one))).json()["done"] is True
    assert await refused(message_of(one)) == "repeated"
    assert await refused(message_of(other)) == "certificate"
    assert await refused(message_of(one, sender="n9"), PeerIdentity(SECRET, "n9")) == "unknown_node"
    assert await refused("{}") == "malformed"
    assert await refused("x" * (MAX_BODY + 1), status=400) == "malformed"
    assert (await asyncio.to_thread(call, other, as_one, "", path="/", method="GET")).status_code == 400
    ask("UPDATE fleet.nodes SET epoch = epoch + 1 WHERE name = 'n1'")
    other.peers.directory._looked_at = float("-inf")
    later = message_of(one, epoch=one.membership.identity.epoch + 1, serial=1)
    assert (await asyncio.to_thread(call, other, as_one, later)).json()["done"] is True
    assert await refused(message_of(one, serial=1_001)) == "old_epoch"
    told = [event["reason"] for event in other.membership.seen.of("fleet_peer_refused")]
    assert told == ["repeated", "certificate", "unknown_node", "malformed", "old_epoch"]
    assert len(other.orders) == 2


async def test_a_process_whose_name_another_has_taken_is_refused_before_the_other_says_a_word(pair, ask):
    one, other = pair
    as_one, late = PeerIdentity(SECRET, "n1"), message_of(one, serial=1_002)
    assert (await asyncio.to_thread(call, other, as_one, message_of(one))).json()["done"] is True
    ask("UPDATE fleet.nodes SET epoch = epoch + 1 WHERE name = 'n1'")
    other.peers.directory._looked_at = float("-inf")  # some seconds later
    assert (await asyncio.to_thread(call, other, as_one, late)).json()["refusal"] == "old_epoch"
    assert len(other.orders) == 1


async def test_a_claim_waits_for_the_word_of_the_former_node_and_an_eviction_is_told(pair, fleet_url):
    one, other = pair
    admissions = {}
    for peer in pair:
        node = admissions[peer] = Node(peer.membership, fleet_url)
        node.admission._tell = peer.peers.caller.tell
    try:
        entry = make_entry("u", limit=1)
        assert await admissions[one].admit(entry) is AdmitStatus.OK
        claim = await admissions[other].admission.claim(entry.session, entry.digest, SOURCE)
        assert claim.status is ClaimStatus.OK
        assert one.orders == [("n2", "let_go", entry.session, 1)]
        newer = make_entry("u", limit=1, on_excess="kick_oldest", session=secrets.token_hex(16))
        answer = await admissions[one].admission.admit(newer)
        assert answer.status is AdmitStatus.OK
        async with asyncio.timeout(TIMEOUT):
            await asyncio.gather(*admissions[one].admission._telling)
        assert other.orders == [("n1", "evict", entry.session, 2)]
        last = make_entry("u", limit=1)
        full = await admissions[other].admission.admit(last)
        assert full.status is AdmitStatus.FULL
        await admissions[other].admission.contest(full.holders)
        assert one.orders[-1] == ("n2", "contest", newer.session, 1)
    finally:
        for node in admissions.values():
            await node.stop()


async def test_without_peers_nothing_is_told(fleet_url, make_node):
    membership = await make_node("n1")
    node = Node(membership, fleet_url)
    assert node.admission._hurry("evict", []) == []
    await node.stop()
