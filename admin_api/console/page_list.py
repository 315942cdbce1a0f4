# SPDX-License-Identifier: GPL-3.0-or-later
"""Every page of the console."""

from __future__ import annotations

from admin_api.console.pages import (
    addresses,
    audit,
    blocks,
    components,
    feeds,
    first_steps,
    groups,
    health,
    live,
    nodes,
    overview,
    penalties,
    places,
    policy,
    rules,
    sessions,
    settings,
    tokens,
    users,
    webhooks,
)

PAGES = (
    *overview.PAGES,
    *first_steps.PAGES,
    *live.PAGES,
    *sessions.PAGES,
    *addresses.PAGES,
    *blocks.PAGES,
    *penalties.PAGES,
    *places.PAGES,
    *rules.PAGES,
    *policy.PAGES,
    *users.PAGES,
    *groups.PAGES,
    *feeds.PAGES,
    *audit.PAGES,
    *tokens.PAGES,
    *webhooks.PAGES,
    *settings.PAGES,
    *health.PAGES,
    *nodes.PAGES,
    *components.PAGES,
)
