# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds, changes and removes webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from admin_api.http.etags import etag_of_version, find_unchanged
from admin_api.http.problems import ApiError, ProblemKind
from admin_api.store.columns import new_id
from admin_api.webhooks.receivers import MAX_WEBHOOKS
from admin_api.webhooks.signature import make_secret
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from admin_api.second_factors.secret_box import SecretBox
    from admin_api.store import Store, UnitOfWork
    from admin_api.store.webhook_tables import Webhook, WebhookDelivery
    from admin_api.webhooks.schemas import WebhookReplace

FILE = "file"
TEST = "webhook_test"  # the type of a test's body


@dataclass(frozen=True, slots=True)
class FileWebhook:
    """A webhook of the configuration."""

    url: str
    kinds: tuple[str, ...]
    secret: bytes


async def create_webhook(store: Store, box: SecretBox, body: WebhookReplace, *, by: str) -> tuple[Webhook, bytes]:
    """Returns the row, and the secret. Raises ``ApiError`` if there are ``MAX_WEBHOOKS``."""
    secret, webhook_id = make_secret(), new_id()
    async with store.write() as unit:
        if len(await unit.webhooks.read_all()) >= MAX_WEBHOOKS:
            raise ApiError(ProblemKind.TABLE_FULL, f"There are {MAX_WEBHOOKS} webhooks")
        row = await unit.webhooks.add(
            webhook_id,
            body.url,
            kinds=body.kinds,
            enabled=body.enabled,
            note=body.note,
            sealed_secret=box.seal(secret, webhook_id),
            by=by,
        )
        await unit.audit.add(by, "webhook_created", row.id, **_facts(row))
    return row, secret


async def change_webhook(
    store: Store, webhook_id: str, make_body: Callable[[Webhook], WebhookReplace], *, if_match: str | None, by: str
) -> Webhook:
    """Replace everything but the secret by what ``make_body`` makes of the present row. Raises ``ApiError``."""
    async with store.write() as unit:
        row = await _get_own(unit, webhook_id, if_match)
        body = make_body(row)
        unit.webhooks.replace(row, url=body.url, kinds=body.kinds, enabled=body.enabled, note=body.note)
        await unit.audit.add(by, "webhook_changed", row.id, **_facts(row))
    return row


async def remove_webhook(store: Store, webhook_id: str, *, if_match: str | None, by: str) -> None:
    """Remove a webhook with its queue. Raises ``ApiError``."""
    async with store.write() as unit:
        row = await _get_own(unit, webhook_id, if_match)
        await unit.webhooks.remove(row)
        await unit.audit.add(by, "webhook_removed", webhook_id)


async def queue_test(store: Store, webhook_id: str, *, by: str) -> WebhookDelivery:
    """Queue a test before all other deliveries of a webhook. Raises ``ApiError``."""
    body = f'{{"type": "{TEST}", "timestamp": "{store.clock.wall().isoformat()}", "data": {{}}}}'
    async with store.write() as unit:
        row = await get_enabled(unit, webhook_id)
        (delivery_id,) = await unit.webhooks.enqueue([(row.id, TEST, body)], first=True)
        await unit.audit.add(by, "webhook_tested", row.id)
        delivery = await unit.webhooks.get_delivery(row.id, delivery_id)
        assert delivery is not None  # noqa: S101 - queued in this transaction
        return delivery


async def redeliver(store: Store, webhook_id: str, delivery_id: str, *, by: str) -> WebhookDelivery:
    """Begin the attempts of a delivery from the start. Raises ``ApiError``."""
    async with store.write() as unit:
        row = await get_enabled(unit, webhook_id)
        delivery = await unit.webhooks.get_delivery(row.id, delivery_id)
        if delivery is None:
            raise ApiError(ProblemKind.NOT_FOUND, f"There is no delivery {delivery_id}")
        unit.webhooks.retry(delivery)
        await unit.audit.add(by, "webhook_redelivered", row.id, delivery=delivery_id)
        return delivery


async def take_file_webhooks(store: Store, box: SecretBox, entries: Sequence[FileWebhook]) -> None:
    """Make the webhooks of source ``file`` those of the configuration. One with the same URL keeps its queue."""
    wanted = {entry.url: entry for entry in entries}
    async with store.write() as unit:
        await unit.webhooks.take_turn()
        rows = {row.url: row for row in await unit.webhooks.read_all() if row.source == FILE}
        for url, row in rows.items():
            if url not in wanted:
                await unit.webhooks.remove(row)
        for url, entry in wanted.items():
            if url in rows:
                row = rows[url]
                row.sealed_secret = box.seal(entry.secret, row.id)
                if row.kinds != [*entry.kinds] or not row.enabled:
                    unit.webhooks.replace(row, url=url, kinds=entry.kinds, enabled=True, note=row.note)
                continue
            name = new_id()
            sealed = box.seal(entry.secret, name)
            await unit.webhooks.add(name, url, kinds=entry.kinds, sealed_secret=sealed, by="configuration", source=FILE)


def etag_of_webhook(row: Webhook) -> str:
    return etag_of_version(row.id, row.version)


async def get_webhook(unit: UnitOfWork, webhook_id: str) -> Webhook:
    """Raises ``ApiError``."""
    row = await unit.webhooks.get(webhook_id)
    if row is None:
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no webhook {webhook_id}")
    return row


async def get_enabled(unit: UnitOfWork, webhook_id: str) -> Webhook:
    """Raises ``ApiError``."""
    row = await get_webhook(unit, webhook_id)
    if not row.enabled:
        raise ApiError(ProblemKind.WEBHOOK_DISABLED, f"Enable the webhook {webhook_id} first")
    return row


async def _get_own(unit: UnitOfWork, webhook_id: str, if_match: str | None) -> Webhook:
    row = find_unchanged(await unit.webhooks.get(webhook_id), etag_of_webhook, if_match, f"webhook {webhook_id}")
    if row.source == FILE:
        raise ApiError(ProblemKind.FROM_FILE, f"{webhook_id} is a webhook of the configuration file")
    return row


def _facts(row: Webhook) -> dict[str, object]:
    """What the audit holds. The path of a URL may be a secret of the receiver's."""
    return {"host": urlsplit(row.url).hostname, "kinds": row.kinds, "enabled": row.enabled}
