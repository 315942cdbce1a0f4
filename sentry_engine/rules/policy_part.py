# SPDX-License-Identifier: GPL-3.0-or-later
"""What one file says, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentry_engine.cores.plan import Aggregation
from sentry_engine.detectors.thresholds import Thresholds
from sentry_engine.rules.model import FeedRule, GeoRule, LimitRule, PaybackRule, PrefixRule, RouteRules, RuleTest
from sentry_engine.rules.user_rules import UserRule
from sentry_engine.verdict import Action


@dataclass(frozen=True, slots=True)
class PolicyPart:
    """What one file says. ``None`` in a setting: it says nothing, another file or the engine's own default does."""

    prefix_rules: Sequence[PrefixRule] = ()  # ``columnar_rules.PrefixRules`` where there may be many
    limit_rules: tuple[LimitRule, ...] = ()
    geo_rules: tuple[GeoRule, ...] = ()
    user_rules: tuple[UserRule, ...] = ()
    feeds: tuple[FeedRule, ...] = ()
    routes: tuple[RouteRules, ...] = ()  # configurations of wolfSentry
    event_labels: tuple[str, ...] = ()  # custom ones
    rule_tests: tuple[RuleTest, ...] = ()
    paybacks: tuple[PaybackRule, ...] | None = None
    default: Action | None = None
    on_missing: Action | None = None
    aggregation: Aggregation | None = None
    builtin_limits: bool | None = None
    detectors: Thresholds | None = None
