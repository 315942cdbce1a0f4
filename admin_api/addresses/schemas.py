# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of addresses."""

from pydantic import Field

from admin_api.blocks.schemas import BlockView
from admin_api.events.schemas import EventView
from admin_api.http.values import View
from admin_api.penalties.schemas import PenaltyView
from admin_api.policy.schemas import ExplanationView
from admin_api.sessions.schemas import SessionAccount, SessionLive


class LocationView(View):
    """What the GeoIP databases say. Empty and null: unknown."""

    country: str = Field(description="ISO 3166-1 code.", examples=["DE"])
    continent: str = Field(description="Two-letter code.", examples=["EU"])
    asn: int | None = Field(description="Number of the autonomous system.", examples=[64496])
    organisation: str = Field(description="Name of the autonomous system.", examples=["Example"])
    anonymizers: list[str] = Field(description="Kinds of anonymiser.", examples=[["tor_exit_node"]])
    latitude: float | None = Field(examples=[52.5])
    longitude: float | None = Field(examples=[13.4])


class AddressView(View):
    """One address in one answer."""

    explanation: ExplanationView = Field(description="The verdict on a connection from it now, with the walk.")
    place: LocationView = Field(description="Where it is.")
    penalty: PenaltyView | None = Field(description="The penalty that covers it.")
    blocks: list[BlockView] = Field(description="The blocks that cover it.")
    sessions: list[SessionLive] = Field(description="Live sessions from it, or that have it inside the tunnel.")
    history: list[SessionAccount] = Field(description="The latest sessions from it, newest first.")
    decisions: list[EventView] = Field(description="The latest verdicts about it, newest first.")
