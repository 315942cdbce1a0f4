# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of the events of a fleet."""

from __future__ import annotations

from pydantic import Field

from admin_api.event_schemas.registry import EventFields, event
from admin_api.log_events import ApiEvent


class NodeEvent(EventFields):
    node: str = Field(description="The name of the node.", examples=["n1"])


@event(ApiEvent.FLEET_JOINED)
class FleetJoined(NodeEvent):
    epoch: int = Field(description="How often a server has joined under this name.", examples=[3])


@event(ApiEvent.FLEET_CUT_OFF)
class FleetCutOff(NodeEvent):
    reason: str = Field(examples=["no answer in time"])


@event(ApiEvent.FLEET_RETURNED)
class FleetReturned(NodeEvent):
    epoch: int = Field(examples=[4])
    away: float = Field(description="Seconds for which the node was not heard.", examples=[12.5])


@event(ApiEvent.FLEET_RETURN_FAILED)
class FleetReturnFailed(NodeEvent):
    error: str = Field(examples=["no answer in time"])
