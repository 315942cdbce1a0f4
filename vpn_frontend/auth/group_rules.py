# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of logins by groups: those of the configuration, under those made over the API. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.settings import AuthSettings, LoginRules, Overrides


def merge_group_rules(auth: AuthSettings, groups: Mapping[str, Overrides]) -> dict[str, LoginRules]:
    """The rules by name of each group that has its own. ``groups`` are over the configuration's, key by key.

    What neither sets is as in ``auth``.
    """
    found = dict(auth.group_rules)
    for name, overrides in groups.items():
        own = overrides.get("auth")
        if own:
            found[name] = replace(found.get(name, auth.rules), **own)
    return found
