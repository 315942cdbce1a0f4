# SPDX-License-Identifier: GPL-3.0-or-later
"""Every test of the store runs on SQLite and on a PostgreSQL of Debian's package, each on a database of its own.

A test of one of them alone: ``@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)``.
"""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ocsentry.db'}"
    return request.getfixturevalue("postgresql_url")


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
