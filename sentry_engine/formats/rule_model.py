# SPDX-License-Identifier: GPL-3.0-or-later
"""Strict pydantic models of the rules in a native rule file: unknown keys and wrong types or values are errors.

Models check shapes. ``rule_file`` checks prefixes, references and duplicates, since it knows the place in the file.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from sentry_engine.cores.plan import (
    DEFAULT_PENALTY_GROWTH,
    DEFAULT_PENALTY_MAX,
    DEFAULT_STRIKE_MEMORY,
    MAX_LIMIT_EVENTS,
)

MAX_DURATION = 10 * 365 * 86_400  # seconds; longer is a typo
MAX_PREFIXES_PER_RULE = 2_000_000
MAX_WINDOWS = 50  # in one schedule
MAX_CODES = 1_000  # countries or autonomous systems in one rule

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:@/-]*$"
MAX_ID = 128  # characters
MAX_TEXT = 1_000  # characters of a description
RuleId = Annotated[str, StringConstraints(pattern=ID_PATTERN, max_length=MAX_ID)]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Country = Annotated[
    str, StringConstraints(pattern=r"^[A-Z]{2}$")
]  # ISO 3166-1 alpha-2, and XX, XK as databases use them
Continent = Literal["AF", "AN", "AS", "EU", "NA", "OC", "SA"]
Anonymizer = Literal["any", "anonymous_vpn", "hosting_provider", "public_proxy", "residential_proxy", "tor_exit_node"]
Asn = Annotated[int, Field(ge=1, le=0xFFFF_FFFF)]
Count = Annotated[int, Field(ge=1, le=MAX_LIMIT_EVENTS)]
Seconds = Annotated[float, Field(gt=0, le=MAX_DURATION)]
SecondsOrZero = Annotated[float, Field(ge=0, le=MAX_DURATION)]


def parse_timestamp(value: object) -> object:
    """Parse RFC 3339 text with an offset. Raises ``ValueError``."""
    if not isinstance(value, str):
        raise ValueError("a time is text such as 2030-01-31T12:00:00Z")  # noqa: TRY004  # pydantic collects ValueErrors
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a time needs its offset: 2030-01-31T12:00:00Z or …+01:00")
    return moment


Timestamp = Annotated[datetime, BeforeValidator(parse_timestamp)]
Prefixes = (
    Annotated[str, StringConstraints(max_length=64)]
    | Annotated[
        list[Annotated[str, StringConstraints(max_length=64)]], Field(min_length=1, max_length=MAX_PREFIXES_PER_RULE)
    ]
)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


def check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone known here (Europe/Berlin, UTC)") from None
    return name


ClockTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]
Zone = Annotated[str, StringConstraints(max_length=64), AfterValidator(check_zone)]


class WindowSection(Strict):
    """A weekly window from ``from`` to before ``to`` in local time; ``to`` before ``from`` runs past midnight."""

    days: Annotated[list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]], Field(min_length=1, max_length=7)]
    from_: Annotated[ClockTime, Field(alias="from")] = "00:00"
    to: ClockTime = "24:00"
    zone: Zone = "UTC"

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.from_ in (self.to, "24:00"):
            raise ValueError("from and to leave no time; for the whole day leave them out")
        return self


Schedule = Annotated[list[WindowSection], Field(min_length=1, max_length=MAX_WINDOWS)]


class Rule(Strict):
    """The keys of every rule. ``ttl`` counts in seconds from the last change of the file.

    A rule with a ``schedule`` applies only in its windows.
    """

    id: RuleId
    description: Text = ""
    enabled: bool = True
    expires_at: Timestamp | None = None
    ttl: Seconds | None = None
    schedule: Schedule | None = None

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.expires_at is not None and self.ttl is not None:
            raise ValueError("give expires_at or ttl, not both")
        return self


class PenaltyFields(Strict):
    """The penalty for exceeding a limit. Times are in seconds; ``blacklist_threshold`` counts penalties."""

    penalty_duration_sec: SecondsOrZero = 0.0
    penalty_growth: Annotated[float, Field(ge=1, le=100)] = DEFAULT_PENALTY_GROWTH
    penalty_max_sec: Seconds = DEFAULT_PENALTY_MAX
    blacklist_threshold: Annotated[int, Field(ge=0, le=65_535)] = 0
    blacklist_ttl: Seconds | None = None
    strike_memory_sec: Seconds = DEFAULT_STRIKE_MEMORY

    @model_validator(mode="after")
    def _penalty_first(self) -> Self:
        if self.blacklist_threshold and not self.penalty_duration_sec:
            raise ValueError("blacklist_threshold counts penalties: it needs a penalty_duration_sec above 0")
        if self.blacklist_ttl is not None and not self.blacklist_threshold:
            raise ValueError("blacklist_ttl needs a blacklist_threshold")
        if self.penalty_max_sec < self.penalty_duration_sec:
            raise ValueError("penalty_max_sec is shorter than penalty_duration_sec")
        return self


class RateLimit(Rule, PenaltyFields):
    """A limit on connections per source."""

    type: Literal["rate_limit"]
    remote_addr: Prefixes
    max_connections_per_second: Count | None = None
    max_connections_per_minute: Count | None = None
    max_connections_per_hour: Count | None = None
    max_connections: Count | None = None
    window_sec: Seconds | None = None
    action: Literal["rate_limit"] = "rate_limit"

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        self.rate()
        return self

    def rate(self) -> tuple[int, float]:
        """Events, and the window in seconds."""
        return choose_rate(
            {
                "max_connections_per_second": (self.max_connections_per_second, 1.0),
                "max_connections_per_minute": (self.max_connections_per_minute, 60.0),
                "max_connections_per_hour": (self.max_connections_per_hour, 3600.0),
                "max_connections with window_sec": (self.max_connections, self.window_sec),
            }
        )

    @property
    def event(self) -> str:
        return "connect"


class AuthLimit(Rule, PenaltyFields):
    """A limit on failed logins per source."""

    type: Literal["auth_limit"]
    remote_addr: Prefixes
    max_failures: Count
    window_sec: Seconds
    action: Literal["rate_limit"] = "rate_limit"

    def rate(self) -> tuple[int, float]:
        return self.max_failures, self.window_sec

    @property
    def event(self) -> str:
        return "auth_failure"


class EventLimit(Rule, PenaltyFields):
    """A limit on events of any label per source."""

    type: Literal["event_limit"]
    event: Label
    remote_addr: Prefixes
    max_events: Count
    window_sec: Seconds
    action: Literal["rate_limit"] = "rate_limit"

    def rate(self) -> tuple[int, float]:
        return self.max_events, self.window_sec


class Whitelist(Rule):
    type: Literal["whitelist"]
    remote_addr: Prefixes
    action: Literal["accept"] = "accept"


class Blacklist(Rule):
    type: Literal["blacklist"]
    remote_addr: Prefixes
    action: Literal["reject"] = "reject"


class GeoFilter(Rule):
    """An action on sources by exactly one selector.

    ``country_not`` selects every known country except these.
    """

    type: Literal["geo_filter"]
    remote_addr: Prefixes | None = None
    country: Annotated[list[Country], Field(min_length=1, max_length=MAX_CODES)] | None = None
    country_not: Annotated[list[Country], Field(min_length=1, max_length=MAX_CODES)] | None = None
    continent: Annotated[list[Continent], Field(min_length=1, max_length=7)] | None = None
    asn: Annotated[list[Asn], Field(min_length=1, max_length=MAX_CODES)] | None = None
    anonymizer: Annotated[list[Anonymizer], Field(min_length=1, max_length=6)] | None = None
    action: Literal["accept", "reject"]

    @model_validator(mode="after")
    def _one_selector(self) -> Self:
        names = ("remote_addr", "country", "country_not", "continent", "asn", "anonymizer")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(names)}; this has {', '.join(given) or 'none'}")
        return self


AnyRule = Annotated[RateLimit | AuthLimit | EventLimit | Whitelist | Blacklist | GeoFilter, Field(discriminator="type")]
LimitRuleModel = RateLimit | AuthLimit | EventLimit


def choose_rate(choices: dict[str, tuple[int | None, float | None]]) -> tuple[int, float]:
    """The one rate that is given, among several notations. Raises ``ValueError``."""
    given = {name: pair for name, pair in choices.items() if pair[0] is not None}
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(choices)}; this has {', '.join(given) or 'none'}")
    (count, window) = next(iter(given.values()))
    windowed = next((pair for name, pair in choices.items() if name.endswith("window_sec")), (None, None))
    if count is None or window is None:
        raise ValueError("window_sec is missing")
    if windowed[0] is None and windowed[1] is not None:
        raise ValueError("window_sec belongs to the count that has no unit in its name")
    return count, window
