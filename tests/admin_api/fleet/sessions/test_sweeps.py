# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node does every ten seconds to the sessions of all: it reads what it changes, and does a part at a time."""

from __future__ import annotations

import psycopg
import pytest

MANY = 6000  # sessions, and as many orders
PART = 500  # of them in one call
NODES = 3
SWEEP = "SELECT count(*) FROM fleet.sweep_sessions_v3(interval '30 min', %s)"
END_UNHEARD = "SELECT fleet.end_unheard_v1('node_lost', interval '30 min', %s)"
# One session in a hundred is lost, and one admission in a hundred was taken back.
FILL = f"""
INSERT INTO fleet.nodes (name, instance, version) SELECT 'n' || i, 'x', '1' FROM generate_series(1, {NODES}) i;
INSERT INTO fleet.beats (node) SELECT id FROM fleet.nodes;
INSERT INTO fleet.sessions (id, user_key, node, epoch, cookie_digest, ipv4, source, lost_at, void)
  SELECT decode(md5(i::text), 'hex'), 'u' || i % 500, (SELECT min(id) FROM fleet.nodes) + i % {NODES}, 1, '',
    '10.0.0.0'::inet + i, '192.0.2.1', CASE WHEN i % 100 = 1 THEN clock_timestamp() END, i % 100 = 0
  FROM generate_series(1, {MANY}) i;
INSERT INTO fleet.orders (node, kind, session, generation, done_at)
  SELECT node, 'let_go', id, 1, clock_timestamp() FROM fleet.sessions;
INSERT INTO sessions (id, "user", groups, address, port, transport, tls_version, cipher, user_agent, hostname,
    started_at, seen_at, rx_packets, rx_bytes, tx_packets, tx_bytes, rx_dropped, tx_dropped)
  SELECT encode(id, 'hex'), user_key, '[]', '192.0.2.1', 1, 'tls', '', '', '', '', clock_timestamp(), clock_timestamp(),
    0, 0, 0, 0, 0, 0
  FROM fleet.sessions;
ANALYZE;
"""
READ = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables WHERE relname = ANY (%s)"
FIRST = "(SELECT min(id) FROM fleet.nodes)"
SILENT = f"UPDATE fleet.beats SET seen_at = clock_timestamp() - interval '1 h' WHERE node = {FIRST}"
# A database that no node has asked within two seconds counts none as lost.
AWAKE = "UPDATE fleet.uptime SET last = clock_timestamp() + interval '1 s', since = clock_timestamp() - interval '3 h'"
OF_FIRST = f"SELECT count(*) FROM fleet.sessions WHERE node = {FIRST}"
SOME = f"SELECT id FROM fleet.sessions WHERE node = {FIRST} AND NOT void LIMIT 1100"


@pytest.fixture
def database(fleet_url):
    """A connection that commits each statement by itself, but in ``transaction()``."""
    with psycopg.connect(fleet_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(FILL)
        yield connection


def value(database, statement, *values):
    """What a statement returns, as on behalf of a node that has just beaten."""
    database.execute(AWAKE)
    return database.execute(statement, values).fetchone()[0]


def test_a_sweep_reads_few_rows_of_many(database):
    with database.transaction():
        before = value(database, READ, ["sessions", "orders"])  # by what has filled them
        assert value(database, SWEEP, 100) == 0
        assert value(database, END_UNHEARD, 100) == 0
        assert value(database, READ, ["sessions", "orders"]) - before < 200


def test_sessions_of_a_silent_node_are_lost_some_at_a_time_and_stay_with_it(database):
    database.execute(SILENT)
    of_first = value(database, OF_FIRST)
    marked = f"{OF_FIRST} AND lost_at IS NOT NULL AND NOT void"
    before = value(database, marked)
    value(database, SWEEP, PART)
    assert value(database, marked) == before + PART
    for _ in range(of_first // PART):
        value(database, SWEEP, PART)
    assert value(database, f"{OF_FIRST} AND lost_at IS NULL AND NOT void") == 0
    database.execute("UPDATE fleet.sessions SET lost_at = lost_at - interval '1 h'")
    others = value(database, "SELECT count(*) FROM fleet.sessions WHERE lost_at IS NOT NULL") - value(database, marked)
    assert value(database, SWEEP, PART) == others, "the first node may carry what it had"
    ended = [value(database, END_UNHEARD, PART) for _ in range(1 + of_first // PART)]
    assert (ended[0], sum(ended)) == (PART, value(database, marked))
    assert value(database, END_UNHEARD, PART) == 0
    history = "SELECT count(*) FROM sessions WHERE end_reason = 'node_lost' AND ended_at = seen_at"
    assert value(database, history) == sum(ended)


@pytest.mark.parametrize("why", ["state = 'left'", "epoch = 2"])
def test_sessions_of_a_node_that_has_left_or_joined_since_end_some_at_a_time(database, why):
    database.execute(f"UPDATE fleet.nodes SET {why} WHERE id = {FIRST}")
    database.execute(f"UPDATE fleet.sessions SET lost_at = clock_timestamp() - interval '1 h' WHERE id IN ({SOME})")
    assert [value(database, SWEEP, PART) for _ in range(3)] == [PART, PART, 100]


def test_withdrawn_admissions_and_orders_that_were_carried_out_go_in_time(database):
    database.execute("UPDATE fleet.sessions SET admitted_at = clock_timestamp() - interval '61 s' WHERE void")
    database.execute("UPDATE fleet.orders SET done_at = clock_timestamp() - interval '61 min' WHERE serial % 2 = 0")
    value(database, SWEEP, 10)
    assert value(database, "SELECT count(*) FROM fleet.sessions WHERE void") == MANY // 100 - 10
    assert value(database, "SELECT count(*) FROM fleet.orders") == MANY - 10


def test_sessions_of_a_node_that_was_forgotten_while_it_admitted_them_end_too(database):
    database.execute("UPDATE fleet.sessions SET node = 0 WHERE NOT void AND lost_at IS NULL AND user_key = 'u7'")
    held = value(database, "SELECT count(*) FROM fleet.sessions WHERE node = 0")
    assert held
    value(database, SWEEP, 100)
    database.execute("UPDATE fleet.sessions SET lost_at = lost_at - interval '1 h' WHERE node = 0")
    assert value(database, SWEEP, 100) == held


def test_the_sweep_of_the_version_before_runs_beside_it(database):
    database.execute(SILENT)
    value(database, SWEEP, 100)
    database.execute("UPDATE fleet.sessions SET lost_at = clock_timestamp() - interval '1 h' WHERE lost_at IS NOT NULL")
    before = value(database, "SELECT count(*) FROM fleet.sessions")
    ended = value(database, "SELECT count(*) FROM fleet.sweep_sessions_v2(interval '30 min')")
    assert value(database, "SELECT count(*) FROM fleet.sessions") == before - ended
    assert value(database, f"{OF_FIRST} AND lost_at IS NULL AND NOT void") == 0
    assert value(database, SWEEP, 100) == 0
