# SPDX-License-Identifier: GPL-3.0-or-later
"""What much coming and going leaves behind in the tables of a fleet: pages and updates are counted, never time."""

from __future__ import annotations

import psycopg
import pytest

USERS, ROUNDS = 50, 12
# Autovacuum would come between, or not.
QUIET = "ALTER TABLE fleet.{} SET (autovacuum_enabled = off)"
NODE = (
    "INSERT INTO fleet.nodes (id, name, instance, version) OVERRIDING SYSTEM VALUE VALUES (1, 'n1', 'x', '1');"
    "INSERT INTO fleet.beats (node) VALUES (1)"
)
ADMIT = (
    "SELECT count(*) FROM generate_series(%s::int, %s) i, fleet.admit_v2(1, 1, decode(md5(%s::text || i), 'hex'), 1,"
    " 'u' || i, '', 2, 'deny_new', '', NULL, NULL, '192.0.2.1', 0, NULL, 300, interval '10 s', false)"
)
RELEASE = "SELECT count(fleet.release_v1(1, id, generation)) FROM fleet.sessions"
UPDATES = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE schemaname = 'fleet' AND relname = 'users'"
SIZES = "SELECT pg_relation_size('fleet.{0}'), pg_indexes_size('fleet.{0}')"


@pytest.fixture
def database(fleet_url):
    """A connection that commits each statement by itself."""
    with psycopg.connect(fleet_url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in (*NODE.split(";"), QUIET.format("users"), QUIET.format("sessions")):
            connection.execute(statement)
        yield connection


def come_and_go(database, number):
    """All users log in and out once, each by a transaction of its own."""
    for user in range(USERS):
        database.execute(ADMIT, (user, user, f"round {number} "))
    database.execute(RELEASE)


def test_the_locks_of_users_take_no_more_room_however_often_they_log_in(database):
    """Each admission updates its user's row: beside it, in its page, with no new entry in an index, and no vacuum."""
    come_and_go(database, 0)
    come_and_go(database, 1)
    before = sum(database.execute(SIZES.format("users")).fetchone())
    for number in range(2, ROUNDS):
        come_and_go(database, number)
    database.execute("SELECT pg_stat_force_next_flush()")
    updated, within_their_pages = database.execute(UPDATES).fetchone()
    assert updated == USERS * (ROUNDS - 1)
    assert within_their_pages > 0.9 * updated
    assert sum(database.execute(SIZES.format("users")).fetchone()) == before


def test_the_room_of_sessions_that_have_ended_is_used_again(database):
    """As autovacuum leaves the table, which comes here once 2 % of its rows are dead."""
    sizes = []
    for number in range(ROUNDS):
        come_and_go(database, number)
        database.execute("VACUUM fleet.sessions")
        sizes.append(sum(database.execute(SIZES.format("sessions")).fetchone()))
    assert max(sizes[2:]) <= sizes[1], sizes


def test_tables_whose_rows_come_and_go_are_cleaned_early(database):
    found = database.execute(
        "SELECT relname FROM pg_class WHERE 'autovacuum_vacuum_scale_factor=0.02' = ANY (reloptions)"
    ).fetchall()
    assert {name for (name,) in found} == {"users", "sessions", "logins", "orders", "log"}
