# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins that one node has taken and another one opens, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import pytest_asyncio

from admin_api.fleet.changes.accounts import end_elsewhere
from admin_api.fleet.sessions.admission import KEEP_LOGIN, KEEP_SEVERAL, LOGIN_PAUSES
from admin_api.store import Store
from lab.timeouts import TIMEOUT
from tests.admin_api.fleet.crowd import SOURCE, make_entry, nodes_of
from vpn_frontend.sessions.fleet.port import AdmitStatus, ClaimStatus, FleetSilentError, KeptLogin

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("patient_calls")]
DOCUMENT = '{"version":1}'


@pytest_asyncio.fixture
async def nodes(patient_calls, make_node, fleet_url):
    async with nodes_of(make_node, fleet_url, 3) as made:
        yield made


async def all_done(node):
    async with asyncio.timeout(TIMEOUT):
        await node.errands.until_empty()


async def keep(node, entry):
    """The node takes a login, and the database has it."""
    node.admission.keep_login(KeptLogin(entry.session, entry.user, entry.digest, DOCUMENT, entry.cookie_timeout))
    await all_done(node)
    return entry


async def claim(node, entry, digest=None):
    return await node.admission.claim(entry.session, digest or entry.digest, SOURCE)


async def end(node, entry, generation=None):
    node.admission.end(entry.session, entry.generation if generation is None else generation, entry.user)
    await all_done(node)


async def test_a_login_opens_at_another_node_and_counts_once(nodes, ask):
    a, b, c = nodes
    login = await keep(a, make_entry("u", limit=1))
    found = await claim(b, login)
    assert (found.status, found.generation, found.login) == (ClaimStatus.LOGIN, 0, DOCUMENT)
    assert 0 <= found.age < TIMEOUT
    assert await b.admit(login) is AdmitStatus.OK
    assert ask("SELECT node, kind, generation FROM fleet.orders") == [(a.id, "let_go", 0)]
    assert await a.admit(login) is AdmitStatus.MOVED, "the node of the login asks for a claim then"
    assert await a.admit(make_entry("u", limit=1)) is AdmitStatus.FULL
    roamed = await claim(c, login)
    assert (roamed.status, roamed.generation) == (ClaimStatus.OK, 2)


async def test_of_nodes_that_open_it_at_once_one_does(nodes, ask):
    for limit in (0, 2):
        login = await keep(nodes[0], make_entry(f"u{limit}", limit=limit))
        assert {(await claim(node, login)).status for node in nodes} == {ClaimStatus.LOGIN}
        answers = await asyncio.gather(*(node.admission.admit(login) for node in nodes), return_exceptions=True)
        opened = [one for one in answers if not isinstance(one, Exception) and one.status is AdmitStatus.OK]
        assert len(opened) == 1, answers
        others = [one for one in answers if one is not opened[0]]
        assert all(isinstance(one, FleetSilentError) or one.status is AdmitStatus.MOVED for one in others), answers
        assert ask("SELECT count(*) FROM fleet.sessions WHERE user_key = :user", user=login.user) == [(1,)]


@pytest.mark.parametrize("opened", [False, True], ids=["without a tunnel", "with one"])
async def test_after_its_end_it_is_refused_everywhere(nodes, ask, opened):
    a, b, c = nodes
    login = await keep(a, make_entry("u"))
    if opened:
        assert await b.admit(login) is AdmitStatus.OK
        await end(b, login)
    else:
        await end(a, login, 0)
    for node in nodes:
        assert (await claim(node, login)).status is ClaimStatus.ENDED
        assert await node.admit(replace(login, generation=2)) is AdmitStatus.ENDED
    assert ask("SELECT document FROM fleet.logins") == [(None,)]
    assert ask("SELECT count(*) FROM fleet.sessions") == [(0,)]
    # A login that was written twice, as after a lost answer, comes back to nothing.
    await keep(a, login)
    assert (await claim(c, login)).status is ClaimStatus.ENDED


async def test_an_earlier_owner_ends_nothing(nodes):
    a, b, _ = nodes
    login = await keep(a, make_entry("u"))
    assert await b.admit(login) is AdmitStatus.OK
    await end(a, login, 0)  # its copy of the login
    assert (await claim(a, login)).status is ClaimStatus.OK
    await end(b, login)
    assert (await claim(b, login)).status is ClaimStatus.OK


async def test_an_admission_taken_back_leaves_the_login_open(nodes):
    a, b, _ = nodes
    login = await keep(a, make_entry("u"))
    assert await b.admit(login) is AdmitStatus.OK
    await b.release(login)  # its tunnel could not be opened
    assert (await claim(a, login)).status is ClaimStatus.LOGIN
    me = b.membership.identity
    await b.calls.call("SELECT fleet.void_v1(%s, %s, %s, 4, 'u')", (me.node, me.epoch, bytes.fromhex(login.session)))
    found = await claim(a, login)
    assert (found.status, found.generation) == (ClaimStatus.LOGIN, 4)
    assert await a.admit(replace(login, generation=found.generation + 1)) is AdmitStatus.OK


async def test_a_logout_at_any_node_ends_login_and_session(nodes, ask):
    a, b, c = nodes
    waiting, opened = [await keep(a, make_entry("u")) for _ in range(2)]
    assert await b.admit(opened) is AdmitStatus.OK
    ask("DELETE FROM fleet.orders")
    for login in (waiting, opened):
        c.admission.log_out(login.session, b"x" * 32)  # of another cookie
    await all_done(c)
    assert ask("SELECT 1 FROM fleet.logins WHERE ended") == ask("SELECT 1 FROM fleet.orders") == []
    for login in (waiting, opened):
        c.admission.log_out(login.session, login.digest)
    await all_done(c)
    assert (await claim(b, waiting)).status is ClaimStatus.ENDED
    assert (await claim(a, opened)).status is ClaimStatus.OVER
    assert ask("SELECT node, kind, encode(session, 'hex'), generation FROM fleet.orders") == [
        (b.id, "evict", opened.session, 1)
    ]
    await end(b, opened)
    assert (await claim(a, opened)).status is ClaimStatus.ENDED


async def test_claims_of_logins_that_are_refused(nodes, ask):
    a, b, _ = nodes
    login = await keep(a, make_entry("u"))
    assert (await claim(b, login, b"x" * 32)).status is ClaimStatus.UNKNOWN
    ask("INSERT INTO fleet.users (key, not_before) VALUES ('u', clock_timestamp()) ON CONFLICT (key) DO NOTHING")
    assert (await claim(b, login)).status is ClaimStatus.REVOKED
    ask("UPDATE fleet.users SET not_before = NULL")
    ask("UPDATE fleet.logins SET expires_at = clock_timestamp() - interval '1 s'")
    assert (await claim(b, login)).status is ClaimStatus.OVER
    assert ask("SELECT fleet.sweep_logins_v1(100)") == [(0,)]
    ask("UPDATE fleet.logins SET expires_at = expires_at - interval '61 s'")
    assert ask("SELECT fleet.sweep_logins_v1(100)") == [(1,)]


@pytest.mark.parametrize("by", ["user", "session"])
async def test_an_operator_ends_a_login_whose_node_is_dead(nodes, fleet_url, by):
    a, b, _ = nodes
    login = await keep(a, make_entry("u"))
    later = make_entry("u")
    store = await Store.open(fleet_url, serving=True, node="n1")
    try:
        async with store.write() as unit:
            if by == "user":
                await unit.changes.revoke("u")
            else:
                assert await end_elsewhere(unit, login.session, None) == "u"  # dry run
                assert (await claim(b, login)).status is ClaimStatus.LOGIN
                assert await end_elsewhere(unit, login.session, "words") == "u"
    finally:
        await store.close()
    expected = ClaimStatus.REVOKED if by == "user" else ClaimStatus.ENDED
    assert (await claim(b, login)).status is expected
    assert await a.admit(login) is (AdmitStatus.REVOKED if by == "user" else AdmitStatus.ENDED)
    await keep(a, later)
    assert (await claim(b, later)).status is ClaimStatus.LOGIN, "the user may log in again"


async def test_logins_are_written_together_behind_the_answer_with_their_age(nodes, monkeypatch, ask):
    a, b, _ = nodes
    sent, call = [], a.calls.call

    async def noting(statement, values, *more):
        sent.append(statement)
        return await call(statement, values, *more)

    monkeypatch.setattr(a.calls, "call", noting)
    logins = [make_entry(f"u{number}") for number in range(20)]
    for login in logins:
        a.admission.keep_login(KeptLogin(login.session, login.user, login.digest, DOCUMENT, login.cookie_timeout))
    assert sent == []
    # None of them is in the way of an admission of its user.
    assert await a.admit(logins[-1]) is AdmitStatus.OK
    await all_done(a)
    assert KEEP_SEVERAL in sent
    assert sent.count(KEEP_LOGIN) <= 1
    assert ask("SELECT count(*) FROM fleet.logins WHERE expires_at = logged_in_at + interval '300 s'") == [(20,)]
    a.errands.add(KEEP_LOGIN, (a.id, bytes(16), "v", bytes(32), DOCUMENT, 300), since=0.0)  # of long ago
    await all_done(a)
    assert (await claim(b, make_entry("v", session=bytes(16).hex()))).status is ClaimStatus.UNKNOWN


async def test_a_claim_waits_a_moment_for_a_login_that_is_being_written(nodes, monkeypatch):
    a, b, _ = nodes
    login, looked = make_entry("u"), 0
    ask_database = b.admission._ask

    async def counting(statement, values):
        nonlocal looked
        rows = await ask_database(statement, values)
        looked += 1
        if looked == len(LOGIN_PAUSES):
            await keep(a, login)
        return rows

    monkeypatch.setattr(b.admission, "_ask", counting)
    assert (await claim(b, login)).status is ClaimStatus.LOGIN
    assert looked == len(LOGIN_PAUSES) + 1


async def test_without_the_database_a_claim_is_no_refusal_and_the_login_is_written_later(nodes, ask):
    a, b, _ = nodes
    name = ask("SELECT current_database()")[0][0]
    ask(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    for node in (a, b):
        await node.calls.close()
    login = make_entry("u")
    a.admission.keep_login(KeptLogin(login.session, login.user, login.digest, DOCUMENT, login.cookie_timeout))
    with pytest.raises(FleetSilentError):
        await claim(b, login)
    ask(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await all_done(a)
    for node in (a, b):
        await node.calls.close()
    assert (await claim(b, login)).status is ClaimStatus.LOGIN
