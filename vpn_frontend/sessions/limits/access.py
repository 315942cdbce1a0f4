# SPDX-License-Identifier: GPL-3.0-or-later
"""When a user may be connected: until the end, inside the schedule, while the quota lasts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from sentry_engine.rules.schedules import DAYS, is_open, next_change
from vpn_frontend.ports import CloseReason
from vpn_frontend.sessions.limits.traffic import SPARE

if TYPE_CHECKING:
    from datetime import datetime

    from sentry_engine.rules.schedules import Window
    from vpn_frontend.sessions.effective_settings import EffectiveSettings
    from vpn_frontend.sessions.limits.usage import UsageLedger

UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
MAX_SHOWN_WINDOWS = 3


@dataclass(frozen=True, slots=True)
class AccessRefusal:
    """Why a user may not be connected now. ``text`` is for the user, ``reason`` a stable code."""

    text: str
    reason: CloseReason


def find_refusal(settings: EffectiveSettings, user: str, ledger: UsageLedger, now: datetime) -> AccessRefusal | None:
    """``None``: the user may be connected. ``now`` is aware."""
    if settings.expires_at is not None and settings.expires_at <= now:
        text = "This account has expired." if settings.origin_of("expires_at").startswith("user") else EXPIRED
        return AccessRefusal(text, CloseReason.EXPIRED)
    if settings.schedule and not is_open(settings.schedule, now.timestamp()):
        return AccessRefusal(f"Access is limited to {describe(settings.schedule)}.", CloseReason.SCHEDULE)
    left = ledger.left(user, settings.quota)
    if left is not None and left < SPARE:
        return AccessRefusal(describe_quota(settings, user, ledger), CloseReason.QUOTA_EXCEEDED)
    return None


def is_limited(settings: EffectiveSettings) -> bool:
    """False if ``find_refusal`` never refuses."""
    quota = settings.quota
    return bool(settings.expires_at is not None or settings.schedule or quota.day or quota.month)


EXPIRED = "The access of this group has expired."


def next_check(settings: EffectiveSettings, now: datetime) -> float | None:
    """Unix time when ``find_refusal`` may refuse because of the time. ``None``: never."""
    if settings.expires_at is None and not settings.schedule:
        return None
    ends = None if settings.expires_at is None else settings.expires_at.timestamp()
    edge = next_change(settings.schedule, now.timestamp()) if settings.schedule else None
    return min((moment for moment in (ends, edge) if moment is not None), default=None)


def describe(schedule: tuple[Window, ...]) -> str:
    """``mon tue 08:00-18:00 (Europe/Berlin)``."""
    shown = "; ".join(_describe_window(window) for window in schedule[:MAX_SHOWN_WINDOWS])
    return shown if len(schedule) <= MAX_SHOWN_WINDOWS else f"{shown}; and other times"


def describe_quota(settings: EffectiveSettings, user: str, ledger: UsageLedger) -> str:
    """Which quota is used up, and when it begins again."""
    quota, used = settings.quota, ledger.of(user)
    if quota.month and quota.month - used.month < SPARE:
        return f"The quota of {show_bytes(quota.month)} a month is used up. It begins again next month."
    return f"The quota of {show_bytes(quota.day)} a day is used up. It begins again tomorrow."


def show_bytes(count: int) -> str:
    """``1.5 GB``, in decimal units."""
    for size, unit in UNITS:
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def _describe_window(window: Window) -> str:
    days = " ".join(DAYS[day] for day in sorted(window.days))
    return f"{days} {_clock(window.start)}-{_clock(window.end)} ({window.zone})"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
