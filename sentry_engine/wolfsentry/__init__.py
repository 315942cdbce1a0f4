# SPDX-License-Identifier: GPL-3.0-or-later
"""wolfSentry's own JSON configuration, version 1: read, answered with wolfSentry 1.6.3's verdicts, and translated."""

from sentry_engine.wolfsentry.model import CONFIG_KEY, read_config
from sentry_engine.wolfsentry.render import dump
from sentry_engine.wolfsentry.table import Outcome, RouteTable
from sentry_engine.wolfsentry.traffic import Endpoint, Traffic
from sentry_engine.wolfsentry.translation import translate

__all__ = ["CONFIG_KEY", "Endpoint", "Outcome", "RouteTable", "Traffic", "dump", "read_config", "translate"]
