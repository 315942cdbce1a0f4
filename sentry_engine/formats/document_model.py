# SPDX-License-Identifier: GPL-3.0-or-later
"""Pydantic models of the native rule file: ``{"wolfsentry": {"version": …, "rules": […], "events": […], …}}``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from sentry_engine.cores.plan import Aggregation
from sentry_engine.detectors.thresholds import DETECTOR_PENALTY, TravelThreshold
from sentry_engine.formats.rule_model import (
    MAX_CODES,
    MAX_DURATION,
    AnyRule,
    Count,
    Country,
    Label,
    PenaltyFields,
    Prefixes,
    RuleId,
    Schedule,
    Seconds,
    Strict,
    Text,
    Timestamp,
    choose_rate,
)

FORMAT_VERSION = "1.6.3"  # the ``version`` of a document that this program writes
_AGGREGATION, _TRAVEL = Aggregation(), TravelThreshold()  # whose defaults are those of the document
MAX_RULES = 2_000_000
MAX_EVENT_LIMITS = 64  # custom labels of one policy: each is a column in the tables of the cores
MAX_PAYBACKS = 64
MAX_USER_RULES = 10_000
MAX_FEEDS = 1_000
MAX_TESTS = 10_000
MAX_REPEAT = 70_000  # more than any limit counts


Names = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=256)]], Field(min_length=1, max_length=10_000)
]


class EventSection(PenaltyFields):
    """A limit on one event per source. A label that is not built in declares a custom event."""

    label: Label
    id: RuleId | None = None
    description: Text = ""
    remote_addr: Prefixes | None = None
    max_rate_per_second: Count | None = None
    max_rate_per_minute: Count | None = None
    max_events: Count | None = None
    window_sec: Seconds | None = None

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        self.rate()
        return self

    def rate(self) -> tuple[int, float]:
        """Events, and the window in seconds."""
        return choose_rate(
            {
                "max_rate_per_second": (self.max_rate_per_second, 1.0),
                "max_rate_per_minute": (self.max_rate_per_minute, 60.0),
                "max_events with window_sec": (self.max_events, self.window_sec),
            }
        )


class PaybackSection(Strict):
    """Each ``event`` of a source removes the last ``points`` of its ``from_event`` events."""

    event: Label
    from_event: Label
    points: Count = 1


class AggregationSection(Strict):
    """The prefix lengths of a source. ``escalate_after`` penalised IPv6 sources penalise their wider prefix."""

    ipv4_prefix: Annotated[int, Field(ge=8, le=32)] = _AGGREGATION.ipv4_prefix
    ipv6_prefix: Annotated[int, Field(ge=16, le=64)] = _AGGREGATION.ipv6_prefix
    escalate_after: Annotated[int, Field(ge=0, le=256)] = _AGGREGATION.escalate_after


class GuessingSection(Strict):
    """The number of users (of one source) or sources (of one user) within a window, and the response."""

    threshold: Annotated[int, Field(ge=2, le=1_000)]
    window_sec: Seconds
    action: Literal["log", "penalise", "deny"]
    penalty_duration_sec: Seconds = DETECTOR_PENALTY


class NewCountrySection(Strict):
    action: Literal["log", "penalise", "deny"]
    penalty_duration_sec: Seconds = DETECTOR_PENALTY


class TravelSection(Strict):
    max_km_per_hour: Annotated[float, Field(ge=100, le=100_000)] = _TRAVEL.kilometres_per_hour
    min_km: Annotated[float, Field(ge=1, le=20_100)] = _TRAVEL.kilometres
    action: Literal["log", "penalise", "deny"]
    penalty_duration_sec: Seconds = DETECTOR_PENALTY


class DetectorsSection(Strict):
    """A detector that is left out keeps its defaults; ``false`` disables it."""

    password_spray: GuessingSection | Literal[False] | None = None
    credential_stuffing: GuessingSection | Literal[False] | None = None
    new_country: NewCountrySection | Literal[False] | None = None
    impossible_travel: TravelSection | Literal[False] | None = None


class GeoipSection(Strict):
    on_missing: Literal["accept", "reject"] = "accept"


class UserSection(Strict):
    """Conditions on the users in ``user`` and the members of ``group``; on all users if neither is given.

    ``remote_addr``, ``country`` and ``country_not`` restrict their sources. From ``expires_at`` on they are refused.
    """

    id: RuleId
    description: Text = ""
    user: Names | None = None
    group: Names | None = None
    max_same_clients: Annotated[int, Field(ge=0, le=65_535)] | None = None
    schedule: Schedule | None = None
    remote_addr: Prefixes | None = None
    country: Annotated[list[Country], Field(min_length=1, max_length=MAX_CODES)] | None = None
    country_not: Annotated[list[Country], Field(min_length=1, max_length=MAX_CODES)] | None = None
    expires_at: Timestamp | None = None


class FeedSection(Strict):
    """A list of prefixes to refuse: ``path`` (relative to this file) or ``url`` (https)."""

    id: RuleId
    description: Text = ""
    path: Annotated[str, StringConstraints(min_length=1, max_length=4_096)] | None = None
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2_048)] | None = None
    refresh_sec: Annotated[float, Field(ge=60, le=MAX_DURATION)] = 86_400.0
    min_entries: Annotated[int, Field(ge=1, le=10_000_000)] = 1

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("give either path or url")
        return self


class TestSection(Strict):
    """The expected verdict on the last of ``repeat`` events of one source. ``rules check`` runs it."""

    address: Annotated[str, StringConstraints(max_length=64)]
    event: Label = "connect"
    expect: Literal["accept", "reject", "rate_limited"]
    rule: RuleId | None = None
    repeat: Annotated[int, Field(ge=1, le=MAX_REPEAT)] = 1
    description: Text = ""


class Sentry(Strict):
    version: Text
    description: Text = ""
    rules: Annotated[list[AnyRule], Field(max_length=MAX_RULES, default_factory=list)]
    events: Annotated[list[EventSection], Field(max_length=MAX_EVENT_LIMITS, default_factory=list)]
    paybacks: Annotated[list[PaybackSection], Field(max_length=MAX_PAYBACKS)] | None = None
    default: Literal["accept", "reject"] | None = None
    builtin_limits: bool | None = None
    aggregation: AggregationSection | None = None
    geoip: GeoipSection | None = None
    detectors: DetectorsSection | None = None
    users: Annotated[list[UserSection], Field(max_length=MAX_USER_RULES, default_factory=list)]
    feeds: Annotated[list[FeedSection], Field(max_length=MAX_FEEDS, default_factory=list)]
    tests: Annotated[list[TestSection], Field(max_length=MAX_TESTS, default_factory=list)]


class RuleDocument(Strict):
    schema_: Annotated[str, Field(alias="$schema")] = ""
    wolfsentry: Sentry
