# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins that one node keeps for the others, and what another node makes of them."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from tests.vpn_frontend.connections.front import Front, cookie_of
from tests.vpn_frontend.sessions.fleet.scripted import ScriptedFleet
from vpn_frontend.ports import Device, RemoteLogin, UserRecord
from vpn_frontend.sessions.admission import CookieError, Login, RefusedError
from vpn_frontend.sessions.cookies import digest_of
from vpn_frontend.sessions.fleet.logins import MAX_DOCUMENT
from vpn_frontend.sessions.fleet.port import AdmitStatus, Answer, Claim, ClaimStatus
from vpn_frontend.sessions.session import Phase

pytestmark = pytest.mark.asyncio
AGE = 60.0
SAME = (
    "id", "groups", "device", "logged_in_at", "user_agent", "remote", "login_address", "digest", "certificate_digest",
    "host", "strap_keys", "phase",
)  # fmt: skip


@pytest.fixture
def other(make_lab, fleet):
    lab = make_lab(fleet=fleet)
    lab.now += 5000.0  # another machine's clock
    return lab


def outside_login(**changes):
    """A login with all that a login can have."""
    remote = RemoteLogin(
        "radius", "Alice", overrides={"network": {"routes": (ip_network("10.0.0.0/8"),)}}, classes=(b"\xff\0",)
    )
    login = Login(
        UserRecord("alice", "a hash", groups=("staff",), external=True),
        ("ops", "staff"),
        Device("laptop", "linux-64", "6.1", "pc", "unique"),
        "AnyConnect",
        remote=remote,
        certificate_digest=bytes(range(32)),
        address=ip_address("2001:db8::7"),
        strap_key=b"key",
    )
    return replace(login, **changes)


async def claim(lab, fleet, cookie, **changes):
    kept = fleet.kept[-1]
    fleet.claim_answer = replace(Claim(ClaimStatus.LOGIN, 3, AGE, login=kept.document), **changes)
    return await lab.table.entrance.claim(cookie, lab.peer(), "", lab.now)


async def test_another_node_makes_the_same_session_of_it(node, other, fleet):
    cookie = node.table.log_in(outside_login(), node.now)
    session = node.table.find_session(cookie)
    (kept,) = fleet.kept
    assert (kept.session, kept.user, kept.digest) == (session.id, "alice", digest_of(cookie))
    assert kept.cookie_timeout == session.settings.session.cookie_timeout
    assert "a hash" not in kept.document
    copy = await claim(other, fleet, cookie)
    assert {name: getattr(copy, name) for name in SAME} == {name: getattr(session, name) for name in SAME}
    assert copy.user == replace(session.user, password_hash=None)
    assert copy.settings == session.settings
    assert (copy.login_at, copy.attempts) == (other.now - AGE, 3)
    assert copy.expires_at == other.now - AGE + kept.cookie_timeout
    assert await claim(other, fleet, cookie, generation=5) is copy
    assert copy.attempts == 5
    with pytest.raises(CookieError) as refused:
        other.table.begin_tunnel(copy, copy.user, other.peer(), None, other.now)
    assert refused.value.reason == "another_certificate"


async def test_it_opens_there_with_the_next_generation(node, other, fleet):
    cookie = node.log_in()
    copy = await claim(other, fleet, cookie)
    admission = other.begin(cookie, other.peer())
    await other.table.entrance.admit(admission, other.now)
    other.open(admission)
    (entry,) = fleet.admitted
    assert (entry.session, entry.generation, entry.age) == (copy.id, 4, AGE)
    assert copy.phase is Phase.OPEN
    node.table.entrance.carry_out("let_go", copy.id, 0)
    with pytest.raises(CookieError):
        node.table.find_session(cookie)
    assert fleet.ended == []


@pytest.mark.parametrize(
    ("end", "ended"),
    [
        (lambda lab, cookie: lab.table.log_out(cookie, lab.now), True),
        (lambda lab, _: lab.live.kill_user("alice", ""), True),
        (lambda lab, cookie: lab.live.kill(lab.table.find_session(cookie).id, ""), True),
        (lambda lab, _: lab.table.expire(lab.now + 301.0), False),
        (lambda lab, _: lab.table.shut_down("", lab.now), False),
    ],
    ids=["logout", "its user is ended", "it is ended", "its time is over", "its node stops"],
)
async def test_only_an_end_that_is_meant_ends_it_at_other_nodes(node, fleet, end, ended):
    cookie = node.log_in()
    session = node.table.find_session(cookie)
    end(node, cookie)
    assert session.phase is Phase.CLOSED
    assert fleet.ended == ([session.id] if ended else [])


async def test_a_logout_where_its_session_is_not_is_told_to_the_fleet(node, other, fleet):
    cookie = node.log_in()
    other.table.log_out("0" * 64, other.now)
    other.table.log_out("A" * len(cookie), other.now)
    other.table.log_out(cookie, other.now, "another host")
    assert fleet.logged_out == []
    other.table.log_out(cookie, other.now)
    assert fleet.logged_out == [(node.table.find_session(cookie).id, digest_of(cookie))]


async def test_a_hidden_server_knows_the_cookies_of_all_nodes(node, other):
    cookie = node.log_in()
    assert other.table.knows_cookie(cookie)
    assert not other.table.knows_cookie("A" * len(cookie))


async def test_what_cannot_be_written_opens_at_its_node_alone(node, fleet):
    for more in (object(), b"x" * MAX_DOCUMENT):
        remote = RemoteLogin("radius", "alice", classes=(more,))
        assert node.table.log_in(outside_login(remote=remote), node.now)
    assert fleet.kept == []


async def test_no_document_of_another_kind_opens_anything(node, other, fleet):
    cookie = node.table.log_in(outside_login(), node.now)
    document = json.loads(fleet.kept[0].document)
    bad = ["", "[]", "null", "[" * 100_000, json.dumps({**document, "version": 2})]
    bad += [json.dumps({**document, "record": {"UserRecord": {"name": "bob"}}})]
    bad += [json.dumps({**document, key: value}) for key in ("device", "remote", "record") for value in ("x", [7])]
    bad += [
        json.dumps({name: value for name, value in document.items() if name != key}) for key in ("groups", "version")
    ]
    for text in bad:
        with pytest.raises(CookieError):
            await claim(other, fleet, cookie, login=text)
    assert other.table._index.is_empty()


@pytest.fixture
def fronts(make_lab, users):
    """Connections of two nodes."""
    fleet = ScriptedFleet()
    made = [Front(make_lab(fleet=fleet), users, knows=knows) for knows in (True, False)]
    yield fleet, *made
    for front in made:
        front.passwords.close()


async def log_in(front):
    return cookie_of(await front.log_in(front.gateway.connect()))


async def test_connect_at_another_node_is_answered_by_a_tunnel(fronts):
    fleet, first, second = fronts
    cookie = await log_in(first)
    fleet.claim_answer = Claim(ClaimStatus.LOGIN, 0, 1.0, login=fleet.kept[0].document)
    answer = await second.open_tunnel(second.gateway.connect(), cookie)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert [session.user.name for session in second.lab.table._index] == ["alice"]


@pytest.mark.parametrize("claims", [1, 2])
async def test_a_login_that_was_opened_elsewhere_is_claimed_once(fronts, claims):
    fleet, first, _ = fronts
    cookie = await log_in(first)
    fleet.claim_answer = Claim(ClaimStatus.LOGIN, 2, 1.0, login=fleet.kept[0].document)
    fleet.answers = [Answer(AdmitStatus.MOVED)] * claims
    answer = await first.open_tunnel(first.gateway.connect(), cookie)
    assert answer.startswith(b"HTTP/1.1 200" if claims == 1 else b"HTTP/1.1 401"), answer
    assert [entry.generation for entry in fleet.admitted] == [1, 3]
    assert first.lab.engine.leases() == [] if claims == 2 else len(first.lab.engine.leases()) == 1
    assert fleet.ended == []


async def test_many_logins_from_other_nodes_are_bounded_as_own_ones(node, other, fleet, monkeypatch):
    monkeypatch.setattr("vpn_frontend.sessions.pending_logins.MAX_PENDING", 1)
    other.log_in("bob")
    cookie = node.log_in()
    with pytest.raises(RefusedError):
        await claim(other, fleet, cookie)
