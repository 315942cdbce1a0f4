# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that a client is sent when its session ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine import Reason
from vpn_frontend.ports import CloseReason

if TYPE_CHECKING:
    from sentry_engine import Verdict

TEXTS = {
    CloseReason.CONNECTION_LOST: "The connection was lost for too long.",
    CloseReason.IDLE_TIMEOUT: "The session was idle for too long.",
    CloseReason.SESSION_TIMEOUT: "The time of this session is over. Please log in again.",
    CloseReason.REPLACED: "A newer login of this user took this session's place.",
    CloseReason.LOGOUT: "Logged out.",
    CloseReason.POLICY: "Access is no longer allowed.",
    CloseReason.SHUTDOWN: "The server is shutting down.",
    CloseReason.FAILED: "The tunnel could not be set up.",
}
ABOUT_USERS = frozenset(
    {Reason.USER_DISABLED, Reason.USER_EXPIRED, Reason.SCHEDULE, Reason.USER_NETWORK, Reason.USER_COUNTRY}
)


def close_text(reason: CloseReason) -> str:
    """The text for ``reason``, empty if there is none."""
    return TEXTS.get(reason, "")


def refusal_text(verdict: Verdict, rule_text: str) -> str:
    """The text for a client whose session the policy ends, with the operator's text of the rule if there is one."""
    what = "Your access has ended" if verdict.reason in ABOUT_USERS else "Your address is blocked"
    return f"{what}: {rule_text}" if rule_text else f"{what} ({verdict.reason.value})."
