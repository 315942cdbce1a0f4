# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of counted decisions."""

from datetime import datetime

from pydantic import Field

from admin_api.http.values import View


class CountryView(View):
    country: str = Field(description="ISO 3166-1 code.", examples=["DE"])
    accepted: int = Field(examples=[12])
    refused: int = Field(examples=[3])


class NetworkView(View):
    asn: int = Field(description="The number of an autonomous system.", examples=[64496])
    accepted: int = Field(examples=[12])
    refused: int = Field(examples=[3])


class PlacesView(View):
    """Recorded verdicts since the server's start. A flood is recorded in part, so its counts are lower bounds."""

    since: datetime = Field(examples=["2030-01-01T12:00:00Z"])
    countries: list[CountryView] = Field(description="Most refused first.")
    networks: list[NetworkView] = Field(description="The most refused autonomous systems, at most as asked for.")
