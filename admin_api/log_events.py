# SPDX-License-Identifier: GPL-3.0-or-later
"""The events that the admin API emits, by their names in the log and in the event stream."""

from __future__ import annotations

from enum import StrEnum


class ApiEvent(StrEnum):
    """Names are stable; ``ocsentry.observability.event_catalog`` says what each means."""

    BLOCK_ADDED = "block_added"
    BLOCK_REMOVED = "block_removed"
    BLOCK_EXPIRED = "block_expired"
    BLOCKS_IMPORTED = "blocks_imported"
    BLOCK_CHANGES_NOT_STORED = "block_changes_not_stored"
    BLOCK_CHANGES_STORED = "block_changes_stored"
    BLOCK_CHANGES_LOST = "block_changes_lost"
    POLICY_LOADED = "policy_loaded"
    POLICY_REFUSED = "policy_refused"
    POLICY_APPLIED = "policy_applied"
    POLICY_CONFIRMED = "policy_confirmed"
    POLICY_ROLLED_BACK = "policy_rolled_back"
    POLICY_ROLLBACK_FAILED = "policy_rollback_failed"
    RULE_FILES_HELD = "rule_files_held"
    RULE_CHANGED = "rule_changed"
    SCHEDULE_CHANGED = "schedule_changed"
    WEBHOOK_DELIVERY_DEAD = "webhook_delivery_dead"
    WEBHOOK_DISABLED = "webhook_disabled"
    WEBHOOK_QUEUE_FULL = "webhook_queue_full"
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - an event name
    FLEET_JOINED = "fleet_joined"
    FLEET_CUT_OFF = "fleet_cut_off"
    FLEET_RETURNED = "fleet_returned"
    FLEET_RETURN_FAILED = "fleet_return_failed"
    FLEET_CHANGES_FAILED = "fleet_changes_failed"
    FLEET_COMPARISON_WAITS = "fleet_comparison_waits"
    FLEET_CHANGE_UNKNOWN = "fleet_change_unknown"
    FLEET_BLOCKS_TAKEN = "fleet_blocks_taken"
    FLEET_PEER_REFUSED = "fleet_peer_refused"
    FLEET_POLICY_ABORTED = "fleet_policy_aborted"
    FLEET_CANARY_STARTED = "fleet_canary_started"
    FLEET_CANARY_ENDED = "fleet_canary_ended"
    FLEET_STORE_RESTORED = "fleet_store_restored"
    FLEET_SESSIONS_DIFFERED = "fleet_sessions_differed"
