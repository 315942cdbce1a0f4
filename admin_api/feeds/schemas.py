# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of feeds."""

from datetime import datetime

from pydantic import Field

from admin_api.http.values import View


class FeedView(View):
    """A block list that a rule file names by path or URL."""

    id: str = Field(examples=["spamhaus_drop"])
    description: str = Field(examples=["Spamhaus DROP"])
    path: str | None = Field(description="The file of the list. Null: it is downloaded.", examples=[None])
    url: str | None = Field(description="Where it is downloaded from.", examples=["https://lists.example/drop.txt"])
    entries: int = Field(description="Networks in force.", examples=[1200])
    min_entries: int = Field(description="A shorter list is refused.", examples=[1])
    refresh: float | None = Field(description="Seconds between downloads.", examples=[86400])
    changed_at: datetime | None = Field(
        description="When the list was last written or downloaded.", examples=["2030-01-01T12:00:00Z"]
    )
    age: float | None = Field(description="Seconds since then.", examples=[3600.0])
    problem: str = Field(description="Why the last download failed. Empty: it did not.", examples=[""])
    file: str = Field(description="The rule file that names it.", examples=["/etc/ocsentry/rules/feeds.json"])


class FeedRefreshed(View):
    feed: str = Field(examples=["spamhaus_drop"])
    changed: bool = Field(description="There is a new list, and it is in force.", examples=[True])
    entries: int = Field(description="Networks in force.", examples=[1200])
