# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of one rule file, independent of its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from sentry_engine.cores.plan import Aggregation
from sentry_engine.detectors.thresholds import Thresholds
from sentry_engine.records import dataclass
from sentry_engine.rules.model import FeedRule, GeoRule, LimitRule, PaybackRule, PrefixRule, RouteRules, RuleTest
from sentry_engine.rules.user_rules import UserRule
from sentry_engine.verdict import Action


@dataclass(frozen=True, slots=True)
class PolicyPart:
    """``None`` in a setting: the file does not set it; another file or the engine's default does.

    ``sources`` are the rules as they were written, by file and JSON pointer, without those kept as columns.
    """

    prefix_rules: Sequence[PrefixRule] = ()  # ``columnar.PrefixRules`` if there may be many
    limit_rules: tuple[LimitRule, ...] = ()
    geo_rules: tuple[GeoRule, ...] = ()
    user_rules: tuple[UserRule, ...] = ()
    feeds: tuple[FeedRule, ...] = ()
    routes: tuple[RouteRules, ...] = ()  # wolfSentry configurations
    event_labels: tuple[str, ...] = ()  # custom labels
    rule_tests: tuple[RuleTest, ...] = ()
    paybacks: tuple[PaybackRule, ...] | None = None
    sources: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    default: Action | None = None
    on_missing: Action | None = None
    aggregation: Aggregation | None = None
    builtin_limits: bool | None = None
    detectors: Thresholds | None = None
