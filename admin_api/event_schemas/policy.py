# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of the events of policy, blocks and the API."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from admin_api.event_schemas.registry import EventFields, event
from admin_api.log_events import ApiEvent

BY = Field(description="The caller.", examples=["ci#a1b2c3d4e5f6"])
CUT = Field(description="Live sessions that were disconnected.", examples=[2])
BLOCK = Field(description="The block's id.", examples=["0193c5e0-0000-7000-8000-000000000000"])
CIDR = Field(examples=["198.51.100.0/24"])
VERSION = Field(description="Of the policy.", examples=[13])


class BlockEvent(EventFields):
    id: str = BLOCK
    cidr: str = CIDR
    by: str = BY


class BlockBatchEvent(EventFields):
    changes: int = Field(examples=[3])


class PolicyEvent(EventFields):
    version: int = VERSION
    by: str = BY


class WebhookEvent(EventFields):
    webhook: str = Field(description="Its id.", examples=["0193c5e0-0000-7000-8000-000000000000"])


@event(ApiEvent.BLOCK_ADDED)
class BlockAdded(BlockEvent):
    reason: str = Field(examples=["Brute force"])
    sessions_cut: int = CUT


@event(ApiEvent.BLOCK_REMOVED)
class BlockRemoved(BlockEvent):
    pass


@event(ApiEvent.BLOCK_EXPIRED)
class BlockExpired(EventFields):
    id: str = BLOCK


@event(ApiEvent.BLOCKS_IMPORTED)
class BlocksImported(EventFields):
    by: str = BY
    created: int = Field(examples=[100000])
    changed: int = Field(examples=[12])
    refused: int = Field(examples=[0])
    sessions_cut: int = CUT


@event(ApiEvent.BLOCK_CHANGES_LOST)
class BlockChangesLost(BlockBatchEvent):
    networks: list[str] = Field(description="The first of them.", examples=[["198.51.100.0/24"]])


@event(ApiEvent.BLOCK_CHANGES_NOT_STORED)
class BlockChangesNotStored(BlockChangesLost):
    error: str = Field(examples=["database is locked"])


@event(ApiEvent.BLOCK_CHANGES_STORED)
class BlockChangesStored(BlockBatchEvent):
    pass


@event(ApiEvent.POLICY_LOADED)
class PolicyLoaded(PolicyEvent):
    rules: int = Field(examples=[120])
    sessions_cut: int = CUT


@event(ApiEvent.POLICY_REFUSED)
class PolicyRefused(EventFields):
    problems: list[str] = Field(examples=[["rules/office.json: /wolfsentry/rules/0/action: unknown"]])


@event(ApiEvent.POLICY_APPLIED)
class PolicyApplied(PolicyEvent):
    sessions_cut: int = CUT
    confirm_by: datetime | None = Field(
        description="When it is rolled back unless confirmed.", examples=["2030-01-01T12:10:00Z"]
    )


@event(ApiEvent.POLICY_CONFIRMED)
class PolicyConfirmed(PolicyEvent):
    pass


@event(ApiEvent.POLICY_ROLLED_BACK)
class PolicyRolledBack(PolicyEvent):
    to: int = Field(description="The earlier version that is in force again.", examples=[12])


@event(ApiEvent.POLICY_ROLLBACK_FAILED)
class PolicyRollbackFailed(EventFields):
    version: int = VERSION
    error: str = Field(examples=["database is locked"])


@event(ApiEvent.RULE_FILES_HELD)
class RuleFilesHeld(EventFields):
    files: list[str] = Field(examples=[["rules/office.json"]])


@event(ApiEvent.RULE_CHANGED)
class RuleChanged(EventFields):
    id: str = Field(description="The rule's id.", examples=["no_lab"])
    by: str = BY
    removed: bool = Field(examples=[False])
    sessions_cut: int = CUT


@event(ApiEvent.SCHEDULE_CHANGED)
class ScheduleChanged(EventFields):
    sessions_cut: int = CUT


@event(ApiEvent.WEBHOOK_DELIVERY_DEAD)
class WebhookDeliveryDead(WebhookEvent):
    delivery: str = Field(description="Its id.", examples=["0193c5e0-0000-7000-8000-000000000001"])
    event: str = Field(description="The kind of the event that was not delivered.", examples=["block_added"])
    error: str = Field(description="Of the last attempt.", examples=["answered 500"])


@event(ApiEvent.WEBHOOK_DISABLED)
class WebhookDisabled(WebhookEvent):
    reason: str = Field(examples=["the receiver answered 410 (Gone)"])


@event(ApiEvent.WEBHOOK_QUEUE_FULL)
class WebhookQueueFull(WebhookEvent):
    dropped: int = Field(description="Events that are not delivered.", examples=[12])


@event(ApiEvent.TOKEN_REFUSED)
class TokenRefused(EventFields):
    address: str = Field(examples=["192.0.2.9"])
