# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the deliveries of webhooks."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from admin_api.ports import NoWebhooks, WebhookControl
from admin_api.second_factors.secret_box import WEBHOOKS, SecretBox
from admin_api.webhooks.dispatcher import WebhookDispatcher
from admin_api.webhooks.service import take_file_webhooks
from ocsentry.errors import OperatorError
from ocsentry.outbound.webhook_sender import HttpWebhookSender
from ocsentry.setup.webhook_secrets import read_webhook
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from admin_api.event_hub import EventHub
    from admin_api.store import Store
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.privileges.start import Started
    from vpn_frontend.ports import EventSink


@dataclass(frozen=True, slots=True)
class OpenedWebhooks:
    """``box``: seals their secrets. ``None``: there is no key, and no webhook."""

    control: WebhookControl
    box: SecretBox | None


@asynccontextmanager
async def open_webhooks(
    config: LoadedConfig, store: Store, hub: EventHub, events: EventSink, started: Started
) -> AsyncIterator[OpenedWebhooks]:
    """Deliver until the context ends. Raises ``OperatorError`` for a webhook of the configuration without a secret."""
    admin = config.values.admin
    entries = [read_webhook(one, started.helper.read_key) for one in admin.webhook]
    if started.totp_key is None:
        if entries:
            raise OperatorError("admin.webhook: there is no key that seals secrets: set auth.totp.key_file")
        yield OpenedWebhooks(NoWebhooks(), None)
        return
    box = SecretBox(started.totp_key, WEBHOOKS)
    await take_file_webhooks(store, box, entries)
    dispatcher = WebhookDispatcher(store, hub, box, HttpWebhookSender(admin.webhook_networks), events)
    await dispatcher.apply()
    try:
        yield OpenedWebhooks(dispatcher, box)
    finally:
        await dispatcher.stop()
