# SPDX-License-Identifier: GPL-3.0-or-later
"""Events as JSON, in one shape for the stream and for ``/decisions``."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from admin_api.server_event import ServerEvent

MAX_DEPTH = 4  # levels of nested values in an event; deeper ones become text


class EventView(BaseModel):
    kind: str = Field(examples=["block_added"])
    at: datetime
    fields: dict[str, Any] = Field(description="What belongs to events of this kind.", examples=[{"user": "alice"}])


def show_event(event: ServerEvent) -> EventView:
    return EventView(kind=event.kind, at=event.at, fields={name: _plain(value) for name, value in event.fields.items()})


def _plain(value: object, depth: int = 0) -> Any:  # noqa: ANN401 - JSON
    """Returns a JSON value: addresses, enumerations and other objects become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no infinity: an endless wait becomes null
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth < MAX_DEPTH:
        if isinstance(value, Mapping):
            return {str(key): _plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [_plain(item, depth + 1) for item in value]
    return str(value)
