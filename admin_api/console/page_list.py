# SPDX-License-Identifier: GPL-3.0-or-later
"""Every page of the console."""

from __future__ import annotations

from admin_api.console.pages import (
    addresses,
    audit,
    blocks,
    feeds,
    groups,
    health,
    live,
    overview,
    penalties,
    policy,
    rules,
    sessions,
    tokens,
    users,
)

PAGES = (
    *overview.PAGES,
    *live.PAGES,
    *sessions.PAGES,
    *addresses.PAGES,
    *blocks.PAGES,
    *penalties.PAGES,
    *rules.PAGES,
    *policy.PAGES,
    *users.PAGES,
    *groups.PAGES,
    *feeds.PAGES,
    *audit.PAGES,
    *tokens.PAGES,
    *health.PAGES,
)
