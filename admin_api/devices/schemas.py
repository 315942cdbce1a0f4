# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of devices."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from admin_api.http.values import NO_CONTROLS, Body, View

DeviceName = Annotated[str, StringConstraints(max_length=64, pattern=NO_CONTROLS)]


class DeviceView(View):
    """A device as its client described it at last. Clients prove none of it."""

    id: str = Field(description="Made of what the client says of its machine.", examples=["9f86d081884c7d65"])
    name: str = Field(description="The operator's name for it; empty: none.", examples=["Alice's laptop"])
    platform: str = Field(description="The client's word for its system.", examples=["linux-64"])
    platform_version: str = Field(examples=["10.0.19045"])
    kind: str = Field(description="The model, of clients that tell it.", examples=["LENOVO 20XW"])
    hostname: str = Field(examples=["laptop"])
    user_agent: str = Field(examples=["Open AnyConnect VPN Agent v9.01"])
    address: str = Field(description="Where its latest tunnel came from.", examples=["198.51.100.7"])
    first_seen_at: datetime = Field(examples=["2030-01-01T12:00:00Z"])
    last_seen_at: datetime = Field(
        description="When it opened a tunnel; tunnels from the same address within an hour count as one.",
        examples=["2030-01-02T12:00:00Z"],
    )
    sessions: list[str] = Field(
        description="Ids of its live sessions.", examples=[["5f2c9d0a7b3e4c1d8e6f"]], default_factory=list
    )


class DeviceChange(Body):
    name: DeviceName = Field(description="Empty: no name.", examples=["Alice's laptop"])
