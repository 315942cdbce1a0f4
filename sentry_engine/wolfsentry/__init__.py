# SPDX-License-Identifier: GPL-3.0-or-later
"""wolfSentry's JSON configuration, version 1: reader, verdicts of wolfSentry 1.6.3, and translation to rules."""

from sentry_engine.wolfsentry.model import CONFIG_KEY, read_config
from sentry_engine.wolfsentry.render import dump
from sentry_engine.wolfsentry.table import Outcome, RouteTable
from sentry_engine.wolfsentry.traffic import Endpoint, Traffic
from sentry_engine.wolfsentry.translation import translate

__all__ = ["CONFIG_KEY", "Endpoint", "Outcome", "RouteTable", "Traffic", "dump", "read_config", "translate"]
