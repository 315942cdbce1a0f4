# SPDX-License-Identifier: GPL-3.0-or-later
"""An event gives back the fields that it was made of, and events of one shape share their names."""

import sys
from datetime import UTC, datetime

import pytest

from admin_api import server_event
from admin_api.server_event import ServerEvent

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SESSION = {f"field_{number}": f"value {number}" for number in range(8)}


@pytest.mark.parametrize("fields", [{}, {"missed": None}, {"b": 1, "a": [2]}, SESSION])
def test_fields_come_back_in_their_order(fields):
    event = ServerEvent("kind", NOW, fields, 7)
    assert (event.kind, event.at, event.number) == ("kind", NOW, 7)
    assert [*event.fields.items()] == [*fields.items()]
    assert {name: event.get(name) for name in fields} == fields
    assert event.get("none") is None


def test_a_later_change_of_the_fields_does_not_count():
    fields = {"user": "alice"}
    event = ServerEvent("kind", NOW, fields)
    fields["user"] = "bob"
    event.fields["user"] = "carol"
    assert event.fields == {"user": "alice"}


def test_names_are_shared_and_values_take_less_than_half_of_a_dict():
    first, second = (ServerEvent("kind", NOW, dict(SESSION)) for _ in range(2))
    assert first._names is second._names
    assert sys.getsizeof(first._values) < sys.getsizeof(dict(SESSION)) / 2


def test_shapes_are_bounded(monkeypatch):
    monkeypatch.setattr(server_event, "MAX_SHAPES", len(server_event._shapes) + 2)
    events = [ServerEvent("kind", NOW, {f"bounded_{number}": number}) for number in range(5)]
    assert len(server_event._shapes) == server_event.MAX_SHAPES
    assert [event.fields for event in events] == [{f"bounded_{number}": number} for number in range(5)]
