# SPDX-License-Identifier: GPL-3.0-or-later
"""A block beside many costs what it costs beside none, counted in calls, which a busy machine does not change."""

from __future__ import annotations

import sys
from ipaddress import ip_network

import pytest

from admin_api.enforcement.blocks.bulk_import import BATCH, ImportOptions
from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from sentry_engine import Engine, Policy
from tests.admin_api.conftest import FakeSessions

pytestmark = pytest.mark.asyncio

BLOCKS = 8 * BATCH


async def calls_of_a_change(enforcement, number):
    """Returns the calls of Python functions on this thread that a block and its removal take."""
    calls = 0

    def note(frame, kind, _):
        nonlocal calls
        calls += kind == "call"

    sys.setprofile(note)
    try:
        made = await enforcement.add_block(f"203.0.113.{number}", "", None, "test")
        removed = await enforcement.remove_block(str(made.cidr), "test")
    finally:
        sys.setprofile(None)
    assert removed is not None
    return calls


async def test_it_does_not_grow_with_the_number_of_blocks(store, rules_folder):
    with Engine(Policy.load(rules_folder)) as engine:
        enforcement = Enforcement(engine, FakeSessions(engine), store, [rules_folder], events=EventHub())
        await enforcement.start()
        few = min([await calls_of_a_change(enforcement, number) for number in range(4)])
        importing = enforcement.import_blocks(ImportOptions("test"))
        networks = [ip_network(f"2001:db8:{number:x}::/48") for number in range(BLOCKS)]
        for start in range(0, BLOCKS, BATCH):
            await importing.add_batch([(1, network, "", None) for network in networks[start : start + BATCH]])
        assert (await importing.finish()).created == BLOCKS
        many = min([await calls_of_a_change(enforcement, number) for number in range(4, 8)])
        await enforcement.stop()
    assert many < few + BLOCKS // 8, (few, many)
