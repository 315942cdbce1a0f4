# SPDX-License-Identifier: GPL-3.0-or-later
"""Every test of the store runs on SQLite and on a PostgreSQL of Debian's package, each on a database of its own.

A test of one of them alone: ``@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)``.
"""

from __future__ import annotations

import itertools
import os

import psycopg
import pytest
from sqlalchemy import create_engine, text

from lab.services.postgresql import running_postgresql

numbers = itertools.count()


@pytest.fixture(scope="session")
def shared_postgresql():
    if os.geteuid() != 0:
        pytest.skip("needs root, to run PostgreSQL as its own user")
    with running_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ocsentry.db'}"
    url = request.getfixturevalue("shared_postgresql").url
    name = f"test{next(numbers)}"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    head, _, options = url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}?{options}"


@pytest.fixture
def execute(store_url):
    """Runs a statement beside the store, as another program would. Returns its rows, if it has some."""

    def execute(statement, **values):
        engine = create_engine(store_url)
        with engine.begin() as connection:
            done = connection.execute(text(statement), values)
            rows = done.all() if done.returns_rows else None
        engine.dispose()
        return rows

    return execute
