# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules as values, independent of the format they were read from.

``policy`` collects them, ``compiler`` turns them into a plan. Times are Unix time; the compiler converts them to the
engine's clock.
"""

from __future__ import annotations

from pathlib import Path

from sentry_engine.cores.plan import DEFAULT_PENALTY_GROWTH, DEFAULT_PENALTY_MAX, DEFAULT_STRIKE_MEMORY
from sentry_engine.errors import Problem
from sentry_engine.prefixes import Origin, Prefixes
from sentry_engine.records import dataclass
from sentry_engine.rules.schedules import Window
from sentry_engine.verdict import Action

BLOCK_ID_PREFIX = "block:"  # ids of blocks set through the API
BUILTIN_ID_PREFIX = "builtin:"  # ids of the built-in limits
RESERVED_ID_PREFIXES = (BUILTIN_ID_PREFIX, BLOCK_ID_PREFIX)  # that no rule file may use


@dataclass(frozen=True, slots=True)
class PrefixRule:
    id: str
    action: Action
    prefixes: Prefixes
    origin: Origin
    description: str = ""
    expires_at: float | None = None  # Unix time
    schedule: tuple[Window, ...] = ()  # when the rule applies; empty: always


@dataclass(frozen=True, slots=True)
class LimitRule:
    """A rate limit on the event ``event`` (a label). Numbers as in ``plan.Limit``."""

    id: str
    event: str
    prefixes: Prefixes
    origin: Origin
    max_events: int
    window: float
    penalty: float = 0.0
    penalty_growth: float = DEFAULT_PENALTY_GROWTH
    penalty_max: float = DEFAULT_PENALTY_MAX
    blacklist_threshold: int = 0
    blacklist_ttl: float | None = None
    strike_memory: float = DEFAULT_STRIKE_MEMORY
    description: str = ""
    expires_at: float | None = None
    schedule: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class GeoRule:
    """A rule by GeoIP data. Exactly one of the selectors is not empty."""

    id: str
    action: Action
    origin: Origin
    countries: frozenset[str] = frozenset()
    all_countries_but: frozenset[str] = frozenset()
    continents: frozenset[str] = frozenset()
    asns: frozenset[int] = frozenset()
    anonymizers: frozenset[str] = frozenset()
    description: str = ""
    expires_at: float | None = None
    schedule: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class PaybackRule:
    event: str
    from_event: str
    points: int


@dataclass(frozen=True, slots=True)
class RouteRules:
    """A whole wolfSentry configuration as JSON.

    Without ``obstacles``, prefix rules and limits express it. Otherwise each obstacle names a field that they cannot.
    """

    origin: Origin
    document: str
    obstacles: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class FeedRule:
    """A list of prefixes to refuse, in a file or at a URL."""

    id: str
    origin: Origin
    path: Path | None = None
    url: str | None = None
    refresh: float = 86_400.0  # seconds between downloads
    min_entries: int = 1
    description: str = ""


@dataclass(frozen=True, slots=True)
class RuleTest:
    """A test in a rule file: the expected verdict on the last of ``repeat`` events of one source at one time."""

    address: str
    event: str
    expect: Action
    origin: Origin
    rule_id: str | None = None  # if given, the rule that must decide
    repeat: int = 1
