# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends of sessions on their way to the database: many in one call, in their order, and a bad one alone."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network

import pytest
import pytest_asyncio

from admin_api.fleet.sessions import admission, errands
from admin_api.fleet.sessions.admission import (
    END,
    END_SEVERAL,
    KEEP_SEVERAL,
    LOG_OUT,
    LOG_OUT_SEVERAL,
    RELEASE,
    RELEASE_SEVERAL,
)
from admin_api.fleet.sessions.errands import TOGETHER
from lab.timeouts import TIMEOUT
from tests.admin_api.fleet.crowd import make_entry, nodes_of
from vpn_frontend.sessions.fleet.port import AdmitStatus, KeptLogin

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("patient_calls")]
MANY = TOGETHER + 10


@pytest_asyncio.fixture
async def node(patient_calls, make_node, fleet_url):
    async with nodes_of(make_node, fleet_url, 1) as (made,):
        yield made


@pytest.fixture
def sent(node, monkeypatch):
    """The statements of the errands, as they are sent."""
    seen = []
    call = node.calls.call

    async def noting(statement, values, *more):
        seen.append(statement)
        return await call(statement, values, *more)

    monkeypatch.setattr(node.calls, "call", noting)
    return seen


async def all_done(node):
    async with asyncio.timeout(TIMEOUT):
        await node.errands.until_empty()


async def test_ends_that_wait_are_told_in_few_calls(node, sent, ask):
    entries = [make_entry(f"u{number}") for number in range(MANY)]
    for entry in entries:
        assert await node.admit(entry) is AdmitStatus.OK
    sent.clear()
    for entry in entries:
        node.admission.release(entry.session, 1, entry.user)
    await all_done(node)
    assert sent == [RELEASE_SEVERAL, RELEASE_SEVERAL]
    assert ask("SELECT count(*) FROM fleet.sessions") == [(0,)]
    assert await node.admit(make_entry("u0", limit=1)) is AdmitStatus.OK


@pytest.mark.parametrize("bad", ["not an id", "\ud800"], ids=["by the database", "by its driver"])
async def test_one_that_is_refused_is_dropped_alone(node, sent, ask, bad):
    entries = [make_entry(f"u{number}") for number in range(3)]
    for entry in entries:
        await node.admit(entry)
    sent.clear()
    node.admission.release(entries[0].session, 1, "u0")
    node.errands.add(RELEASE, (node.id, bad, 2**40), "u", RELEASE_SEVERAL)
    for entry in entries[1:]:
        node.admission.release(entry.session, 1, entry.user)
    await all_done(node)
    assert len(node.refused) == 1
    assert ask("SELECT count(*) FROM fleet.sessions") == [(0,)]
    assert sent[0] == RELEASE_SEVERAL, "all were asked at once"


async def test_one_that_cannot_be_sent_is_dropped_alone(node, ask):
    entry = make_entry("u")
    await node.admit(entry)
    node.errands.add(RELEASE, (node.id,), "u", RELEASE_SEVERAL)  # values are missing
    node.admission.release(entry.session, 1, "u")
    await all_done(node)
    assert len(node.refused) == 1
    assert ask("SELECT count(*) FROM fleet.sessions") == [(0,)]


async def test_logins_and_ends_that_wait_are_two_calls_and_no_login_comes_behind_its_end(node, sent, ask):
    entries = [make_entry(f"u{number}") for number in range(4)]
    for entry in entries:
        login = KeptLogin(entry.session, entry.user, entry.digest, "{}", entry.cookie_timeout)
        node.admission.keep_login(login)
        node.admission.end(entry.session, 0, entry.user)
    await all_done(node)
    assert sent == [KEEP_SEVERAL, END_SEVERAL]
    assert ask("SELECT ended, count(*) FROM fleet.logins GROUP BY ended") == [(True, 4)]


async def test_they_gather_until_one_is_waited_for(node, sent, monkeypatch):
    monkeypatch.setattr(errands, "GATHER", TIMEOUT)
    node.admission.release(make_entry("a").session, 1)
    await all_done(node)
    entries = [make_entry(f"u{number}") for number in range(3)]
    for entry in entries:
        node.admission.release(entry.session, 1, entry.user)
        await asyncio.sleep(0)
    assert len(sent) == 1, "they wait for more"
    async with asyncio.timeout(TIMEOUT / 2):
        assert await node.admit(make_entry("u1", limit=1)) is AdmitStatus.OK
    assert sent[1] == RELEASE_SEVERAL


async def test_other_errands_keep_their_place_between_ends(node, sent):
    first, second = make_entry("a"), make_entry("b")
    node.admission.release(first.session, 1)
    node.admission.lose(first.session, 1)
    node.admission.release(second.session, 1)
    await all_done(node)
    assert [RELEASE in one for one in sent] == [True, False, True]


async def test_a_client_that_repeats_its_logout_holds_up_no_end(node, sent, monkeypatch):
    monkeypatch.setattr(admission, "MOST_KEPT", MANY)
    entries = [make_entry(f"u{number}") for number in range(2 * MANY)]
    for _ in range(MANY):
        node.admission.log_out(entries[0].session, entries[0].digest)
    assert len(node.errands) == 1
    await all_done(node)
    assert sent == [LOG_OUT]
    for entry in entries:
        node.admission.log_out(entry.session, entry.digest)
    assert len(node.errands) == MANY
    node.admission.end(entries[0].session, 0, entries[0].user)
    await all_done(node)
    assert sent == [LOG_OUT, LOG_OUT_SEVERAL, LOG_OUT_SEVERAL, END]
    assert node.refused == []


async def test_addresses_that_are_handed_back_hold_up_no_end(node, ask):
    """Their values are a list, which no other errand's are."""
    pool = ip_network("10.0.0.0/29")
    entry = make_entry("u")
    await node.admit(entry)
    lent = await node.admission.lend(pool, 2)
    node.admission.log_out("00" * 16, bytes(32))
    node.admission.give_back(pool, lent)
    node.admission.log_out("00" * 16, bytes(32))
    node.admission.release(entry.session, 1, entry.user)
    await all_done(node)
    assert node.refused == []
    assert ask("SELECT count(*) FROM fleet.sessions") == [(0,)]
    assert ask("SELECT count(*) FROM fleet.address_blocks WHERE node IS NOT NULL") == [(0,)]
