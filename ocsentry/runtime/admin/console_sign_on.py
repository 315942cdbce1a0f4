# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the provider at which people sign in to the console."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from admin_api.single_sign_on.group_roles import GroupRoles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from admin_api.single_sign_on.sign_on import SignOn
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.start import Started
    from vpn_frontend.ports import EventSink


@asynccontextmanager
async def open_sign_on(config: LoadedConfig, started: Started, events: EventSink) -> AsyncIterator[SignOn | None]:
    """Yields ``None`` without ``[admin.oidc]``. Raises ``OperatorError`` for a file that cannot be used."""
    section = config.values.admin.oidc
    if not section.is_used:
        yield None
        return
    from admin_api.single_sign_on.openid import OpenIdSignOn  # noqa: PLC0415 - their libraries only where they are used
    from ocsentry.login_methods.oidc import claims_of, open_provider  # noqa: PLC0415

    roles = GroupRoles(frozenset(section.admins), frozenset(section.operators), frozenset(section.viewers))
    async with open_provider(section, "admin.oidc", started.helper.read_key) as provider:
        yield OpenIdSignOn(provider, claims_of(section), roles, label=section.label, events=events)
