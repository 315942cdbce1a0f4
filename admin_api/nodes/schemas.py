# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of the fleet and its nodes."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from admin_api.http.values import View
from admin_api.policy.version_schemas import PolicyAnswerView


class NodeView(View):
    """One server of the fleet, as the database knows it."""

    name: str = Field(examples=["n1"])
    state: Literal["active", "draining", "left", "dead"] = Field(
        description="`draining`: takes no new sessions. `left`: stopped. `dead`: not heard for longer than "
        "`fleet.dead_after`.",
        examples=["active"],
    )
    this: bool = Field(description="It answers this request.", examples=[True])
    version: str = Field(examples=["1.0.0"])
    epoch: int = Field(description="How often a server has joined under this name.", examples=[3])
    joined_at: datetime = Field(description="When its server joined.", examples=["2030-01-01T12:00:00Z"])
    silence: float = Field(description="Seconds since it was last heard.", examples=[0.2])
    applied: int = Field(description="The revision up to which it has applied all changes.", examples=[1200])
    behind: int = Field(description="Changes that it has not applied yet.", examples=[0])
    sessions: int = Field(examples=[120])
    policy_version: int | None = Field(
        description="The version of the policy in force there. Null: it has not told.", examples=[13]
    )
    rule_files: str | None = Field(
        description="A digest of its rule files: another one than that of the others shows files that differ.",
        examples=["9f86d081884c7d65"],
    )
    peer_url: str = Field(description="Where the other nodes reach it. Empty: over the database alone.", examples=[""])


class ProposalView(View):
    """A change of the policy that was proposed to all nodes."""

    number: int = Field(description="Counts proposals, also those that were aborted.", examples=[12])
    node: str = Field(description="Which has proposed it.", examples=["n1"])
    at: datetime = Field(description="When that was.", examples=["2030-01-01T12:00:00Z"])
    state: Literal["proposed", "active", "aborted", "canary"] = Field(
        description="`active` on all live nodes, or `aborted`, and in force on none. `canary`: on some first.",
        examples=["active"],
    )
    version: int | None = Field(description="Of the policy. Null: it changed nothing.", examples=[13])
    reason: str = Field(description="Why it was aborted.", examples=[""])
    answers: list[PolicyAnswerView] = Field(
        description="Of the nodes that have answered.", examples=[[{"node": "n2", "ok": True, "problems": []}]]
    )


class CanaryNodeView(View):
    """A node that tries a policy before the others."""

    name: str = Field(examples=["n1"])
    in_force: bool = Field(description="It is heard, and has told that the policy is in force.", examples=[True])
    sessions_cut: int = Field(description="Sessions that it has disconnected for the policy.", examples=[0])


class CanaryView(View):
    """A policy that is tried on some nodes before all others."""

    proposal: int = Field(description="Its number among the proposed changes.", examples=[12])
    state: Literal["running", "confirmed", "withdrawn"] = Field(
        description="`confirmed`: in force on all nodes. `withdrawn`: on none.", examples=["running"]
    )
    by: str = Field(description="Who has applied it.", examples=["ci#a1b2c3d4e5f6"])
    reason: str = Field(description="Why, as the caller said.", examples=["Ticket 4711"])
    at: datetime = Field(description="When that was.", examples=["2030-01-01T12:00:00Z"])
    confirm_by: datetime = Field(
        description="Without a confirmation until then, it is withdrawn.", examples=["2030-01-01T12:10:00Z"]
    )
    ended_by: str = Field(description="Who has confirmed or withdrawn it.", examples=[""])
    why: str = Field(description="Why it was withdrawn.", examples=[""])
    nodes: list[CanaryNodeView] = Field(
        description="The nodes that try it.", examples=[[{"name": "n1", "in_force": True, "sessions_cut": 0}]]
    )


class FleetView(View):
    """The fleet as this node sees it."""

    node: str = Field(description="The name of this node.", examples=["n1"])
    state: Literal["member", "returning", "cut_off"] = Field(
        description="Of this node. `cut_off`: the database does not hear it; others may take over its sessions. "
        "`returning`: it compares its sessions with the database.",
        examples=["member"],
    )
    problem: str = Field(description="Why the last beat was not answered. Empty: it was.", examples=[""])
    revision: int = Field(description="Of the newest change in the database.", examples=[1200])
    applied: int = Field(description="Everything up to here is in force on this node.", examples=[1200])
    unknown_changes: int = Field(description="Changes of kinds that this version does not know.", examples=[0])
    nodes: int = Field(description="Nodes that are heard.", examples=[3])
    known: int = Field(description="Nodes that have ever joined, and were not forgotten.", examples=[3])
    sessions: int = Field(description="Of all nodes that are heard.", examples=[360])
    proposal: ProposalView | None = Field(
        description="The newest change of the policy that was proposed to all nodes. Null: there was none.",
        examples=[None],
    )
    canary: CanaryView | None = Field(
        description="The newest policy that was tried on some nodes first. Null: there was none.", examples=[None]
    )
    dead_after: float = Field(description="Seconds.", examples=[10.0])
    addresses: Literal["nat", "routed"] = Field(
        description="How packets find clients: each node translates, or their addresses are routed.", examples=["nat"]
    )
    on_store_loss: Literal["local", "deny"] = Field(
        description="What a node does with logins while it is cut off.", examples=["local"]
    )
    in_split: Literal["give_way", "hold"] = Field(
        description="Whether sessions of a node that is not heard keep their places.", examples=["give_way"]
    )
