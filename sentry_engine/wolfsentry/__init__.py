# SPDX-License-Identifier: GPL-3.0-or-later
"""wolfSentry's JSON configuration, version 1: reader, verdicts of wolfSentry 1.6.3, and translation to rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine.late_names import late_names
from sentry_engine.wolfsentry.config_key import CONFIG_KEY

if TYPE_CHECKING:
    from sentry_engine.wolfsentry.model import read_config
    from sentry_engine.wolfsentry.render import dump
    from sentry_engine.wolfsentry.table import Outcome, RouteTable
    from sentry_engine.wolfsentry.traffic import Endpoint, Traffic
    from sentry_engine.wolfsentry.translation import translate
else:
    __getattr__ = late_names(
        __name__,
        {
            "model": "read_config",
            "render": "dump",
            "table": "Outcome RouteTable",
            "traffic": "Endpoint Traffic",
            "translation": "translate",
        },
    )

__all__ = ["CONFIG_KEY", "Endpoint", "Outcome", "RouteTable", "Traffic", "dump", "read_config", "translate"]
