# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of the events of a fleet."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

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
    epoch: int = Field(description="How often a server has joined under this name.", examples=[4])
    away: float = Field(description="Seconds for which the node was not heard.", examples=[12.5])


@event(ApiEvent.FLEET_RETURN_FAILED)
class FleetReturnFailed(NodeEvent):
    error: str = Field(examples=["no answer in time"])


@event(ApiEvent.FLEET_CHANGES_FAILED)
class FleetChangesFailed(EventFields):
    revision: int = Field(description="Up to here changes are in force on this node.", examples=[1200])
    error: str = Field(examples=["no answer in time"])


@event(ApiEvent.FLEET_COMPARISON_WAITS)
class FleetComparisonWaits(NodeEvent):
    reason: str = Field(
        description="Why it does not read the whole state of the fleet yet.",
        examples=["as many nodes as may read the whole state of the fleet at once are doing so"],
    )


@event(ApiEvent.FLEET_CHANGE_UNKNOWN)
class FleetChangeUnknown(EventFields):
    change: str = Field(description="The kind of the change.", examples=["penalty"])
    count: int = Field(examples=[1])


@event(ApiEvent.FLEET_BLOCKS_TAKEN)
class FleetBlocksTaken(EventFields):
    added: int = Field(description="Blocks of other nodes, new or prolonged.", examples=[1])
    removed: int = Field(description="Blocks that were lifted meanwhile.", examples=[0])
    left_out: int = Field(description="Blocks for which the table of blocks is full.", examples=[0])
    sessions_cut: int = Field(description="Disconnected sessions of this node.", examples=[1])


@event(ApiEvent.FLEET_PEER_REFUSED)
class FleetPeerRefused(EventFields):
    source: str = Field(description="Its address, or the URL at which another node was called.", examples=["192.0.2.7"])
    node: str = Field(description="The name of the node, if it has shown one.", examples=["n2"])
    reason: Literal["certificate", "malformed", "unknown_node", "old_epoch", "repeated"] = Field(
        description="Why: no certificate of this fleet or that of another node, no message, no node of the fleet, a "
        "node that has joined again since, a message that was taken before.",
        examples=["certificate"],
    )
    earlier: int = Field(description="Of the same source and reason, not told since the last event.", examples=[0])


@event(ApiEvent.FLEET_POLICY_ABORTED)
class FleetPolicyAborted(EventFields):
    proposal: int = Field(description="The number of the proposed change of the policy.", examples=[12])
    problems: list[str] = Field(examples=[["n2: /etc/ocsentry/rules/office.json /wolfsentry/rules/0: unknown key"]])


class CanaryEvent(EventFields):
    proposal: int = Field(description="The number of the policy that is tried on some nodes first.", examples=[12])
    by: str = Field(description="Who.", examples=["ci#a1b2c3d4e5f6"])
    sessions_cut: int = Field(description="Disconnected sessions of this node.", examples=[0])


@event(ApiEvent.FLEET_CANARY_STARTED)
class FleetCanaryStarted(CanaryEvent):
    nodes: list[str] = Field(description="The nodes that try it.", examples=[["n1"]])
    confirm_by: datetime = Field(
        description="When it is withdrawn unless confirmed.", examples=["2030-01-01T12:10:00Z"]
    )


@event(ApiEvent.FLEET_CANARY_ENDED)
class FleetCanaryEnded(CanaryEvent):
    outcome: Literal["confirmed", "withdrawn"] = Field(
        description="In force on all nodes now, or on none.", examples=["confirmed"]
    )
    reason: str = Field(description="Why it was withdrawn.", examples=[""])


@event(ApiEvent.FLEET_STORE_RESTORED)
class FleetStoreRestored(EventFields):
    before: int = Field(description="The revision that this node had applied.", examples=[1200])
    revision: int = Field(description="The revision that the database has now.", examples=[900])


@event(ApiEvent.FLEET_SESSIONS_DIFFERED)
class FleetSessionsDiffered(NodeEvent):
    lost: int = Field(description="Sessions of the database that this node does not have.", examples=[2])
    asserted: int = Field(description="Sessions of this node that the database does not have.", examples=[1])
