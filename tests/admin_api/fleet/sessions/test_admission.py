# SPDX-License-Identifier: GPL-3.0-or-later
"""Admission, claims and addresses, one call at a time. ``test_history`` has many at once."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
import pytest_asyncio

from admin_api.fleet.membership.lease import Identity, lease_clock
from admin_api.fleet.sessions import admission
from admin_api.fleet.sessions.admission import ADMIT, CONTEST, IS_CONTESTED, LOSE, VOID
from lab.timeouts import TIMEOUT
from tests.admin_api.fleet.crowd import SOURCE, make_entry, nodes_of
from vpn_frontend.sessions.fleet.port import (
    ID_SIZE,
    SHORT_ID_SIZE,
    AdmitStatus,
    ClaimStatus,
    FleetSilentError,
    Standing,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("patient_calls")]
FIRST, SECOND = ip_address("10.0.0.1"), ip_address("10.0.0.2")


@pytest_asyncio.fixture
async def nodes(patient_calls, make_node, fleet_url):
    async with nodes_of(make_node, fleet_url, 3) as made:
        yield made


@pytest.fixture
def silence(ask):
    """Makes nodes look silent for 20 s, and the database awake all the time or (``asleep``) as silent as they."""

    def silence(*silent, asleep=False):
        for node in silent:
            ask("UPDATE fleet.beats SET seen_at = clock_timestamp() - interval '20 s' WHERE node = :node", node=node.id)
        gone = "interval '20 s'" if asleep else "interval '0 s'"
        ask(f"UPDATE fleet.uptime SET last = clock_timestamp() - {gone}, since = clock_timestamp() - interval '1 h'")

    return silence


async def fall_silent(*nodes):
    """Their beats end for good, without a goodbye, as those of a killed process."""
    for node in nodes:
        beats = node.membership._beats
        beats._leave = lambda: None
        beats._stopping = True
        beats.hurry()
        await asyncio.to_thread(beats._thread.join)


async def test_the_limit_counts_all_nodes_and_a_repeated_call_is_the_same(nodes):
    a, b, _ = nodes
    first, second, third = make_entry("u"), make_entry("u"), make_entry("u")
    assert await a.admit(first) is AdmitStatus.OK
    assert await b.admit(second) is AdmitStatus.OK
    answer = await a.admission.admit(third)
    assert answer.status is AdmitStatus.FULL
    assert {holder.session for holder in answer.holders} == {first.session, second.session}
    assert await a.admit(first) is AdmitStatus.OK
    assert await b.admit(replace(first)) is AdmitStatus.MOVED
    assert await a.admit(make_entry("another user")) is AdmitStatus.OK
    await b.release(second)
    assert await a.admit(third) is AdmitStatus.OK


async def test_without_a_limit_all_are_admitted(nodes):
    assert [await nodes[0].admit(make_entry("u", limit=0)) for _ in range(5)] == [AdmitStatus.OK] * 5


async def test_an_older_generation_and_another_node_release_nothing(nodes, ask):
    a, b, _ = nodes
    entry = make_entry("u")
    await a.admit(entry)
    claim = await b.admission.claim(entry.session, entry.digest, SOURCE)
    assert (claim.status, claim.generation) == (ClaimStatus.OK, 2)
    await a.release(entry)
    await a.release(replace(entry, generation=2))
    await b.release(entry)
    assert ask("SELECT node, generation FROM fleet.sessions") == [(b.id, 2)]
    assert ask("SELECT node, kind, generation FROM fleet.orders") == [(a.id, "let_go", 1)]
    await b.release(replace(entry, generation=2))
    assert ask("SELECT 1 FROM fleet.sessions") == []


async def test_the_oldest_gives_way_where_so_configured_and_its_node_gets_the_order(nodes, ask):
    a, b, _ = nodes
    oldest, newer = make_entry("u"), make_entry("u")
    await a.admit(oldest)
    await a.admit(newer)
    answer = await b.admission.admit(make_entry("u", on_excess="kick_oldest"))
    assert answer.status is AdmitStatus.OK
    assert [(holder.session, holder.node) for holder in answer.holders] == [(oldest.session, a.id)]
    assert ask("SELECT node, kind, encode(session, 'hex') FROM fleet.orders") == [(a.id, "evict", oldest.session)]
    assert ask("SELECT count(*) FROM fleet.sessions WHERE user_key = 'u'") == [(2,)]


async def test_only_the_same_device_gives_way_where_so_configured(nodes):
    a, b, _ = nodes
    phone, laptop = make_entry("u", device="phone"), make_entry("u", device="laptop")
    await a.admit(phone)
    await a.admit(laptop)
    same = {"on_excess": "replace_same_device"}
    assert await b.admit(make_entry("u", device="tablet", **same)) is AdmitStatus.FULL
    assert await b.admit(make_entry("u", **same)) is AdmitStatus.FULL
    answer = await b.admission.admit(make_entry("u", device="laptop", **same))
    assert [holder.session for holder in answer.holders] == [laptop.session]


async def test_two_sessions_never_have_one_address(nodes, ask):
    a, b, _ = nodes
    first = make_entry("u", ipv4=FIRST)
    assert await a.admit(first) is AdmitStatus.OK
    assert await b.admit(make_entry("v", ipv4=FIRST)) is AdmitStatus.ADDRESS
    # Not even if the one that has it gives way: its node may not have closed it yet.
    other = make_entry("u", limit=1, ipv4=FIRST, on_excess="kick_oldest")
    assert await b.admit(other) is AdmitStatus.ADDRESS
    assert ask("SELECT node FROM fleet.orders") == [(a.id,)]
    await a.release(first)
    assert await b.admit(other) is AdmitStatus.OK


@pytest.mark.parametrize("size", [ID_SIZE, SHORT_ID_SIZE], ids=["of a fleet", "that another server was told"])
async def test_an_id_that_two_sessions_share_opens_neither_for_the_other(nodes, ask, size):
    """As bad luck may have it with the ids of 64 bits that authentication servers are told."""
    a, b, _ = nodes
    shared = secrets.token_hex(size)
    first = make_entry("u", session=shared)
    other = replace(make_entry("v", session=shared), digest=bytes([1]) * 32)
    assert await a.admit(first) is AdmitStatus.OK
    with pytest.raises(FleetSilentError):
        await b.admit(other)
    assert await b.admit(replace(other, user="u")) is AdmitStatus.MOVED
    assert (await b.admission.claim(shared, other.digest, SOURCE)).status is ClaimStatus.UNKNOWN
    await b.release(other)
    assert ask("SELECT user_key, node FROM fleet.sessions") == [("u", a.id)]


async def test_a_late_admission_that_was_taken_back_changes_nothing(nodes, ask):
    a, _, _ = nodes
    entry = make_entry("u", limit=0)
    me = a.membership.identity
    await a.calls.call(VOID, (me.node, me.epoch, bytes.fromhex(entry.session), 1, "u"))
    values = (me.node, me.epoch, bytes.fromhex(entry.session), 1, "u", "", 0, "deny_new", entry.digest, None, None)
    (row,) = await a.calls.call(ADMIT, (*values, str(SOURCE), 0.0, None, 300, 10.0, False))
    assert row[0] == "void"
    assert ask("SELECT count(*) FROM fleet.sessions WHERE NOT void") == [(0,)]
    assert (await a.admission.claim(entry.session, entry.digest, SOURCE)).status is ClaimStatus.UNKNOWN
    assert await a.admit(replace(entry, generation=2)) is AdmitStatus.OK


async def test_claims_that_are_refused(nodes, ask):
    a, b, _ = nodes
    entry = make_entry("u")
    await a.admit(entry)

    async def claim(session=entry.session, digest=entry.digest):
        return (await b.admission.claim(session, digest, SOURCE)).status

    assert await claim(secrets.token_hex(16)) is ClaimStatus.UNKNOWN
    assert await claim(digest=b"x" * 32) is ClaimStatus.UNKNOWN
    ask("UPDATE fleet.users SET not_before = clock_timestamp() WHERE key = 'u'")
    assert await claim() is ClaimStatus.REVOKED
    assert await a.admit(make_entry("u")) is AdmitStatus.REVOKED
    ask("UPDATE fleet.users SET not_before = NULL")
    ask("UPDATE fleet.sessions SET hard_end = clock_timestamp() - interval '1 s'")
    assert await claim() is ClaimStatus.OVER
    ask("UPDATE fleet.sessions SET hard_end = NULL, lost_at = clock_timestamp() - interval '301 s'")
    assert await claim() is ClaimStatus.OVER
    ask("UPDATE fleet.sessions SET lost_at = clock_timestamp(), ghost = true")
    assert await claim() is ClaimStatus.REPLACED
    ask("UPDATE fleet.sessions SET ghost = false")
    assert await claim() is ClaimStatus.OK


async def test_a_claim_takes_the_address_along(nodes, ask):
    a, b, _ = nodes
    pool = ip_network("10.0.0.0/29")
    (address,) = await a.admission.lend(pool, 1)
    entry = make_entry("u", ipv4=address)
    await a.admit(entry)
    await b.admission.claim(entry.session, entry.digest, SOURCE)
    assert ask("SELECT node, host(block::inet) FROM fleet.address_blocks") == [(b.id, str(address))]
    a.admission.give_back(pool, [address])
    await a.release(entry)
    assert ask("SELECT node FROM fleet.address_blocks") == [(b.id,)]


async def test_sessions_of_a_silent_node_give_way_up_to_the_limit(nodes, silence, ask):
    """Their node may be cut off and carry them: twice the limit is the bound."""
    a, b, c = nodes
    for _ in range(2):
        assert await a.admit(make_entry("u")) is AdmitStatus.OK
    assert await b.admit(make_entry("u")) is AdmitStatus.FULL
    await fall_silent(a)
    silence(a)
    assert [await b.admit(make_entry("u")) for _ in range(3)] == [AdmitStatus.OK, AdmitStatus.OK, AdmitStatus.FULL]
    assert ask("SELECT count(*) FROM fleet.sessions WHERE ghost") == [(2,)]
    await fall_silent(b)
    silence(a, b)
    assert await c.admit(make_entry("u")) is AdmitStatus.FULL
    assert ask("SELECT count(*) FROM fleet.sessions") == [(4,)]


async def test_with_hold_they_keep_their_places_for_the_time_of_the_cookie(make_node, fleet_url, silence, ask):
    async with nodes_of(make_node, fleet_url, 2, hold=True) as (a, b):
        await a.admit(make_entry("u", limit=1))
        await fall_silent(a)
        silence(a)
        assert await b.admit(make_entry("u", limit=1)) is AdmitStatus.FULL
        ask("SELECT * FROM fleet.sweep_sessions_v1(interval '10 s')")
        ask("UPDATE fleet.sessions SET lost_at = lost_at - interval '301 s'")
        assert await b.admit(make_entry("u", limit=1)) is AdmitStatus.OK


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "control without the guard"])
async def test_an_outage_of_the_database_is_not_the_death_of_all(guarded, nodes, silence, ask):
    a, b, _ = nodes
    for _ in range(2):
        await a.admit(make_entry("u"))
    if not guarded:
        always = "CREATE OR REPLACE FUNCTION fleet.up_since_v1() RETURNS timestamptz LANGUAGE sql AS "
        ask(always + "'SELECT CAST(''-infinity'' AS timestamptz)'")
    await fall_silent(a, b, nodes[2])
    silence(*nodes, asleep=True)
    me = b.membership.identity
    await b.calls.call("SELECT * FROM fleet.beat_v1(%s, %s, 0, 0, 0)", (me.node, me.epoch))
    assert await b.admit(make_entry("u")) is (AdmitStatus.FULL if guarded else AdmitStatus.OK)


@pytest.mark.parametrize("many", [2, 500])
async def test_a_returning_node_is_told_what_it_still_has(nodes, silence, ask, monkeypatch, many):
    a, b, _ = nodes
    monkeypatch.setattr(admission, "ASSERTED_AT_ONCE", many)
    kept, moved, replaced = make_entry("k"), make_entry("m"), make_entry("r", limit=1)
    gone = [make_entry("g", limit=0) for _ in range(3)]
    for entry in (kept, moved, replaced, *gone):
        await a.admit(entry)
    await fall_silent(a)
    silence(a)
    await b.admission.claim(moved.session, moved.digest, SOURCE)
    assert await b.admit(make_entry("r", limit=1)) is AdmitStatus.OK
    one, unknown = a.membership.settings, make_entry("x")
    rejoin = "SELECT epoch FROM fleet.join_v1(%s, %s, '1.0', '', %s::bytea, interval '10 s')"
    (row,) = await b.calls.call(rejoin, (one.name, one.instance, one.secret_check))
    a.membership.lease.join(Identity(a.id, row[0]), lease_clock())
    told = await a.admission.reassert({entry.session: 1 for entry in (kept, moved, replaced, unknown)})
    assert told == {
        kept.session: Standing.OK,
        moved.session: Standing.MOVED,
        replaced.session: Standing.REPLACED,
        unknown.session: Standing.UNKNOWN,
    }
    assert ask("SELECT count(*) FROM fleet.sessions WHERE ghost") == [(0,)]
    held = "SELECT encode(id, 'hex') FROM fleet.sessions WHERE node = :node AND lost_at IS NULL AND epoch = :epoch"
    assert ask(held, node=a.id, epoch=row[0]) == [(kept.session,)]
    assert ask("SELECT count(*) FROM fleet.sessions WHERE lost_at IS NOT NULL") == [(len(gone),)]


async def test_a_claim_that_a_restored_database_has_forgotten_counts(nodes, ask, monkeypatch):
    """Its row says what was true before: the node that it names has let the session go since."""
    monkeypatch.setattr(admission, "LET_GO_PATIENCE", 0)
    a, b, c = nodes
    entry = make_entry("u", ipv4=FIRST)
    await a.admission.lend(ip_network("10.0.0.0/29"), 1, FIRST)
    await a.admit(entry)
    before = ask("SELECT node, epoch, generation FROM fleet.sessions")
    assert (await b.admission.claim(entry.session, entry.digest, SOURCE)).generation == 2
    ask("UPDATE fleet.sessions SET node = :node, epoch = :epoch, generation = :generation", **before[0]._mapping)
    ask("UPDATE fleet.address_blocks SET node = :node", node=a.id)
    assert await b.admission.reassert({entry.session: 2}) == {entry.session: Standing.OK}
    assert ask("SELECT node, generation FROM fleet.sessions") == [(b.id, 2)]
    assert ask("SELECT node FROM fleet.address_blocks WHERE block = '10.0.0.1'") == [(b.id,)]
    assert await a.admission.reassert({entry.session: 1}) == {entry.session: Standing.MOVED}
    assert (await c.admission.claim(entry.session, entry.digest, SOURCE)).generation == 3
    assert await b.admission.reassert({entry.session: 2}) == {entry.session: Standing.MOVED}


async def test_a_pool_of_24_addresses_on_three_nodes_is_used_whole(nodes):
    pool = ip_network("10.1.0.0/27")  # 29 addresses for clients: five are taken by name
    for number in range(5):
        named = pool[2 + 3 * number]
        assert await nodes[0].admission.lend(pool, 1, named) == [named]
        assert await nodes[1].admission.lend(pool, 1, named) == []
    lent = [address for number in range(24) for address in await nodes[number % 3].admission.lend(pool, 1)]
    assert len({*lent}) == 24
    assert [await node.admission.lend(pool, 1) for node in nodes] == [[], [], []]
    nodes[1].admission.give_back(pool, [lent[1]])
    nodes[2].admission.give_back(pool, [lent[0]])  # not its own
    entry = make_entry("u")
    await nodes[1].admit(entry)
    await nodes[1].release(entry)
    await nodes[2].admit(entry)
    await nodes[2].release(entry)
    assert await nodes[0].admission.lend(pool, 2) == [lent[1]]


async def test_a_large_ipv6_pool_costs_nothing_before_it_is_used(nodes, ask):
    pool = ip_network("fd00:99::/64")
    lent = await nodes[0].admission.lend(pool, 3)
    assert lent == [ip_address("fd00:99::2"), ip_address("fd00:99::3"), ip_address("fd00:99::4")]
    assert ask("SELECT count(*) FROM fleet.address_blocks") == [(3,)]


async def test_lost_sessions_end_once_their_cookies_have_and_no_node_may_carry_them(nodes, silence, ask):
    a, b, c = nodes
    dropped, silent, kept = make_entry("d"), make_entry("s"), make_entry("k")
    await a.admit(dropped)
    await b.admit(silent)
    await c.admit(kept)
    await a.calls.call(LOSE, (a.id, bytes.fromhex(dropped.session), 1))
    await a.calls.call(LOSE, (a.id, bytes.fromhex(kept.session), 1))  # not its own
    await fall_silent(b)
    silence(b)
    sweep = "SELECT encode(id, 'hex') FROM fleet.sweep_sessions_v1(interval '10 s')"
    assert ask(sweep) == []
    ask("UPDATE fleet.sessions SET lost_at = lost_at - interval '301 s'")
    assert ask(sweep) == [(dropped.session,)]
    assert ask("SELECT count(*) FROM fleet.sessions") == [(2,)]
    assert ask("SELECT lost_at FROM fleet.sessions WHERE node = :node", node=c.id) == [(None,)]


@pytest.mark.parametrize("sweep", ["sweep_sessions_v2(interval '10 s')", "sweep_sessions_v3(interval '10 s', 10)"])
async def test_moments_ahead_of_a_clock_that_went_back_hold_no_place(nodes, silence, ask, sweep):
    """As after a failover to a database whose clock is an hour behind."""
    a, b, _ = nodes
    lost, dead = make_entry("l"), make_entry("d")
    await a.admit(lost)
    await b.admit(dead)
    await a.calls.call(LOSE, (a.id, bytes.fromhex(lost.session), 1))
    await fall_silent(b)
    silence(b)
    ask("UPDATE fleet.sessions SET lost_at = lost_at + interval '1 h'")
    ask("UPDATE fleet.beats SET seen_at = clock_timestamp() + interval '1 h' WHERE node = :node", node=b.id)
    sweep = f"SELECT encode(id, 'hex') FROM fleet.{sweep}"
    assert ask(sweep) == []
    assert ask("SELECT count(*) FROM fleet.beats WHERE seen_at > clock_timestamp()") == [(0,)]
    assert ask("SELECT count(*) FROM fleet.sessions WHERE lost_at > clock_timestamp()") == [(0,)]
    ask("UPDATE fleet.sessions SET lost_at = lost_at - interval '301 s'")
    assert ask(sweep) == [(lost.session,)]


async def test_a_database_that_can_only_be_read_is_no_refusal(nodes, ask):
    """A primary that was demoted, or has a full disk: nothing is dropped, and all goes on once there is another."""
    a = nodes[0]
    entry = make_entry("u")
    await a.admit(entry)
    name = ask("SELECT current_database()")[0][0]
    ask(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await a.calls.close()
    with pytest.raises(FleetSilentError):
        await a.admit(make_entry("u"))
    a.admission.release(entry.session, entry.generation, entry.user)
    ask(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await a.errands.until_done(entry.user)
    assert a.refused == []
    assert ask("SELECT count(*) FROM fleet.sessions WHERE NOT void") == [(0,)]


async def test_logins_that_find_the_same_places_taken_contest_them_together(nodes, ask, monkeypatch):
    """Else a user with many logins keeps the node's connections busy for seconds, and other users are refused."""
    a, b, _ = nodes
    held = make_entry("u", limit=1)
    assert await b.admit(held) is AdmitStatus.OK
    full = await a.admission.admit(make_entry("u", limit=1))
    assert full.status is AdmitStatus.FULL
    asked, looked, cancelled = [], asyncio.Event(), asyncio.Event()
    call = a.admission._calls.call

    async def count(statement, *more):
        rows = await call(statement, *more)
        asked.append(statement)
        if statement == IS_CONTESTED:
            looked.set()
            await cancelled.wait()
        return rows

    monkeypatch.setattr(a.admission._calls, "call", count)
    gone, *stay = [asyncio.create_task(a.admission.contest(full.holders)) for _ in range(5)]
    async with asyncio.timeout(TIMEOUT):
        await looked.wait()
        gone.cancel()  # its client has gone; the others still wait for the answer
        await asyncio.wait([gone])
        cancelled.set()
        ask("UPDATE fleet.orders SET done_at = clock_timestamp()")
        await asyncio.gather(*stay)
    assert gone.cancelled()
    assert asked.count(CONTEST) == 1
    assert a.admission._contests == {}


async def test_a_restart_of_the_database_costs_no_login(nodes, ask):
    """The connections that nothing waited on have ended with it, and are not used again."""
    a = nodes[0]
    await asyncio.gather(*(a.admit(make_entry("u", limit=0)) for _ in range(4)))
    idle = [connection.info.backend_pid for connection in a.calls._idle]
    assert idle
    for pid in idle:
        ask("SELECT pg_terminate_backend(:pid, 60000)", pid=pid)
    for _ in idle:
        assert await a.admit(make_entry("u", limit=0)) is AdmitStatus.OK
