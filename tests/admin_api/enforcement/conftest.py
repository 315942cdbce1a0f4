# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from admin_api.store import Store
from tests.admin_api.enforcement.saved_engines import Machine, WrittenRows


@pytest.fixture
def machine():
    made = Machine()
    yield made
    for engine in made.made:
        engine.close()


@pytest.fixture(params=["store_url", "postgresql_url"])
def either_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


@pytest_asyncio.fixture
async def either_store(either_url: str) -> AsyncIterator[Store]:
    opened = await Store.open(either_url)
    yield opened
    await opened.close()


@pytest.fixture
def written(store_url):
    counter = WrittenRows(store_url)
    yield counter
    counter.close()
