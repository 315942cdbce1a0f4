# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes of one turn of the loop leave together, in order, and none is lost at the end."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from admin_api.connections.gathered_writes import MAX_GATHERED, GatheredWrites

pytestmark = pytest.mark.asyncio


class Recorder:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.log: list[object] = []

    def write(self, data: bytes) -> None:
        self.log.append(data)

    def close(self) -> None:
        self.log.append("close")

    def abort(self) -> None:
        self.log.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.log


@pytest.fixture
def below():
    return Recorder()


@pytest_asyncio.fixture
async def transport(below):
    return GatheredWrites(below, asyncio.get_running_loop())


async def test_the_writes_of_one_turn_are_one(below, transport):
    transport.write(b"head ")
    transport.write(b"body")
    assert below.log == []
    await asyncio.sleep(0)
    transport.write(b"next")
    await asyncio.sleep(0)
    assert below.log == [b"head body", b"next"]


async def test_a_large_write_leaves_at_once_so_that_the_buffer_is_bounded(below, transport):
    large = bytes(MAX_GATHERED)
    transport.write(b"head")
    transport.write(large)
    assert below.log == [b"head" + large]
    transport.write(b"x")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert below.log == [b"head" + large, b"x"]


async def test_a_close_comes_after_what_was_written_and_an_abort_drops_it(below, transport):
    transport.write(b"last")
    transport.close()
    assert below.log == [b"last", "close"]
    assert transport.is_closing()
    transport.write(b"too late")
    transport.abort()
    await asyncio.sleep(0)
    assert below.log == [b"last", "close", "abort"]
