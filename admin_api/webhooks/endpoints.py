# SPDX-License-Identifier: GPL-3.0-or-later
"""``/webhooks``."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import Query, Response, status

from admin_api.dependencies import ServicesOf, WebhooksRead, WebhooksWrite
from admin_api.http.conditions import CONDITIONAL, IfMatch, MergePatch, apply_merge_patch, validate_document
from admin_api.http.lists.paging import Page, PagingQuery, keyed
from admin_api.http.lists.sorting import moment, sorted_page
from admin_api.http.path_segments import BY_WEBHOOK_ID
from admin_api.http.paths import API_PREFIX
from admin_api.http.problems import ApiError, ProblemKind, responses
from admin_api.http.routing import resource_router
from admin_api.second_factors.secret_box import SecretBox
from admin_api.services import Services
from admin_api.store.webhook_tables import Webhook
from admin_api.store.webhooks import DeliveryState
from admin_api.webhooks import service
from admin_api.webhooks.schemas import DeliveryView, WebhookCreated, WebhookReplace, WebhookView
from admin_api.webhooks.signature import render_secret

router = resource_router("/webhooks", tag="webhooks")
CHANGING = (*CONDITIONAL, ProblemKind.FROM_FILE)
QUEUEING = (ProblemKind.NOT_FOUND, ProblemKind.WEBHOOK_DISABLED)
NO_KEY = "The server has no key for secrets: set auth.totp.key_file and start it again"
WebhookOrder = Literal["created_at", "-created_at", "url", "-url", "pending", "-pending", "dead", "-dead"]
SORT_KEYS: dict[str, Callable[[WebhookView], str | float]] = {
    "created_at": lambda webhook: moment(webhook.created_at),
    "url": lambda webhook: webhook.url,
    "pending": lambda webhook: webhook.pending,
    "dead": lambda webhook: webhook.dead,
}
StateFilter = Annotated[DeliveryState | None, Query(description="Only deliveries in this state.")]


@router.post(
    "", status_code=status.HTTP_201_CREATED, responses=responses(ProblemKind.TABLE_FULL, ProblemKind.UNAVAILABLE)
)
async def create_webhook(
    body: WebhookReplace, caller: WebhooksWrite, services: ServicesOf, response: Response
) -> WebhookCreated:
    """Add a receiver of events. Only this answer contains the secret."""
    row, secret = await service.create_webhook(services.store, _box(services), body, by=caller.name)
    await services.webhooks.apply()
    response.headers["Location"] = f"{API_PREFIX}/webhooks/{row.id}"
    response.headers["ETag"] = service.etag_of_webhook(row)
    response.headers["Cache-Control"] = "no-store"
    return WebhookCreated(**_view(row, {}).model_dump(), secret=render_secret(secret))


@router.get("", responses=responses())
async def list_webhooks(
    _: WebhooksRead,
    services: ServicesOf,
    paging: PagingQuery,
    source: Annotated[Literal["api", "file"] | None, Query(description="Only those of this source.")] = None,
    enabled: Annotated[bool | None, Query(description="Only those that are, or are not, enabled.")] = None,
    sort: Annotated[WebhookOrder, Query(description="`-`: falling.")] = "created_at",
) -> Page[WebhookView]:
    """List the webhooks of the API and of the configuration, oldest first or as ``sort`` says."""
    async with services.store.read() as unit:
        rows = await unit.webhooks.read_all()
        counts = await unit.webhooks.count_states()
    found = (
        _view(row, counts)
        for row in rows
        if (source is None or row.source == source) and (enabled is None or row.enabled == enabled)
    )
    return sorted_page(paging, found, sort, SORT_KEYS, lambda view: view.id, lambda view: view)


@router.get(BY_WEBHOOK_ID, responses=responses(ProblemKind.NOT_FOUND))
async def get_webhook(webhook_id: str, _: WebhooksRead, services: ServicesOf, response: Response) -> WebhookView:
    """Get one webhook with its ETag."""
    async with services.store.read() as unit:
        row = await service.get_webhook(unit, webhook_id)
        counts = await unit.webhooks.count_states()
    response.headers["ETag"] = service.etag_of_webhook(row)
    return _view(row, counts)


@router.patch(BY_WEBHOOK_ID, responses=responses(*CHANGING))
async def change_webhook(
    webhook_id: str,
    patch: MergePatch,
    caller: WebhooksWrite,
    services: ServicesOf,
    response: Response,
    if_match: IfMatch = None,
) -> WebhookView:
    """Change what the merge patch names: URL, kinds, note, enabled. The secret stays. Needs If-Match."""

    def merge(row: Webhook) -> WebhookReplace:
        present = {"url": row.url, "kinds": row.kinds, "enabled": row.enabled, "note": row.note}
        return validate_document(WebhookReplace, apply_merge_patch(present, patch))

    row = await service.change_webhook(services.store, webhook_id, merge, if_match=if_match, by=caller.name)
    await services.webhooks.apply()
    async with services.store.read() as unit:
        counts = await unit.webhooks.count_states()
    response.headers["ETag"] = service.etag_of_webhook(row)
    return _view(row, counts)


@router.delete(BY_WEBHOOK_ID, status_code=status.HTTP_204_NO_CONTENT, responses=responses(*CHANGING))
async def delete_webhook(
    webhook_id: str, caller: WebhooksWrite, services: ServicesOf, if_match: IfMatch = None
) -> None:
    """Remove a webhook and the deliveries that wait. Needs If-Match."""
    await service.remove_webhook(services.store, webhook_id, if_match=if_match, by=caller.name)
    await services.webhooks.apply()


@router.post(f"{BY_WEBHOOK_ID}:test", status_code=status.HTTP_202_ACCEPTED, responses=responses(*QUEUEING))
async def test_webhook(
    webhook_id: str, caller: WebhooksWrite, services: ServicesOf, response: Response
) -> DeliveryView:
    """Queue a delivery of type `webhook_test`, before all others that wait. Location says how it went."""
    delivery = await service.queue_test(services.store, webhook_id, by=caller.name)
    await services.webhooks.apply()
    response.headers["Location"] = f"{API_PREFIX}/webhooks/{webhook_id}/deliveries/{delivery.id}"
    return DeliveryView.model_validate(delivery)


@router.get(f"{BY_WEBHOOK_ID}/deliveries", responses=responses(ProblemKind.NOT_FOUND))
async def list_deliveries(
    webhook_id: str,
    _: WebhooksRead,
    services: ServicesOf,
    paging: PagingQuery,
    state: StateFilter = None,
    sort: Annotated[Literal["created_at", "-created_at"], Query(description="`-`: newest first.")] = "-created_at",
) -> Page[DeliveryView]:
    """List the deliveries of a webhook, newest first: all that wait, and the latest 1000 that have ended."""
    past, rising = paging.past(sort), sort == "created_at"
    async with services.store.read() as unit:
        await service.get_webhook(unit, webhook_id)
        rows = await unit.webhooks.page(webhook_id, past=past, limit=paging.fetch, state=state, rising=rising)
    return paging.page(rows, DeliveryView.model_validate, lambda row: keyed(sort, row.id))


@router.get(f"{BY_WEBHOOK_ID}/deliveries/{{delivery_id:id}}", responses=responses(ProblemKind.NOT_FOUND))
async def get_delivery(webhook_id: str, delivery_id: str, _: WebhooksRead, services: ServicesOf) -> DeliveryView:
    """Get one delivery."""
    async with services.store.read() as unit:
        row = await unit.webhooks.get_delivery(webhook_id, delivery_id)
    if row is None:
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no delivery {delivery_id}")
    return DeliveryView.model_validate(row)


@router.post(
    f"{BY_WEBHOOK_ID}/deliveries/{{delivery_id:id}}:redeliver",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(*QUEUEING),
)
async def repeat_delivery(
    webhook_id: str, delivery_id: str, caller: WebhooksWrite, services: ServicesOf, response: Response
) -> DeliveryView:
    """Send a delivery again, whatever became of it, with attempts from the start."""
    delivery = await service.redeliver(services.store, webhook_id, delivery_id, by=caller.name)
    await services.webhooks.apply()
    response.headers["Location"] = f"{API_PREFIX}/webhooks/{webhook_id}/deliveries/{delivery.id}"
    return DeliveryView.model_validate(delivery)


def _box(services: Services) -> SecretBox:
    if services.webhook_box is None:
        raise ApiError(ProblemKind.UNAVAILABLE, NO_KEY)
    return services.webhook_box


def _view(row: Webhook, counts: dict[tuple[str, str], int]) -> WebhookView:
    return WebhookView(
        **{name: getattr(row, name) for name in WebhookView.model_fields if name not in {"pending", "dead"}},
        pending=counts.get((row.id, DeliveryState.PENDING), 0),
        dead=counts.get((row.id, DeliveryState.DEAD), 0),
    )
