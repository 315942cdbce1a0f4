# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings as answers show them: every effective value with its origin, and what a change of them alters when."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from admin_api.session_settings.fields import as_toml
from sentry_engine.records import dataclass
from sentry_engine.rules.schedules import DAYS, Window
from vpn_frontend.sessions.effective_settings import LIVE, EffectiveSettings

if TYPE_CHECKING:
    from vpn_frontend.settings import Overrides

HIDDEN = frozenset({"label"})


class EffectiveValue(BaseModel):
    """One value, and where it comes from."""

    value: Any = Field(description="Null if nothing sets it.", examples=[["10.0.0.0/8"]])
    origin: str = Field(
        description="`global`, `user NAME`, `group NAME`, or `group NAME (file)` for a group of the configuration.",
        examples=["group staff"],
    )


@dataclass(frozen=True, slots=True)
class ChangedKeys:
    """The keys whose effective values a change altered, by when that is in force."""

    now: list[str]
    at_next_login: list[str]


def show_effective(settings: EffectiveSettings) -> dict[str, EffectiveValue]:
    """Returns every value by its key, such as ``network.routes``."""
    return {
        key: EffectiveValue(value=show_value(value), origin=settings.origin_of(key))
        for key, value in settings.values().items()
    }


def show_overrides(overrides: "Overrides") -> dict[str, Any]:
    """Returns what a group sets as the JSON document of its settings."""
    found: dict[str, Any] = {}
    for key, value in overrides.items():
        if key in HIDDEN:
            continue
        if isinstance(value, Mapping):
            found[key] = {name: show_value(entry) for name, entry in value.items()}
        else:
            found[key] = show_value(value)
    return found


def show_value(value: object) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, tuple) and value and isinstance(value[0], Window):
        return [_show_window(window) for window in value]
    return None if value is None else as_toml(value)


def split_changed(changed: Iterable[str]) -> ChangedKeys:
    """Returns the keys that live sessions have at once, and the others."""
    keys = sorted(changed)
    return ChangedKeys([key for key in keys if key in LIVE], [key for key in keys if key not in LIVE])


def _show_window(window: Window) -> dict[str, Any]:
    return {
        "days": [DAYS[day] for day in sorted(window.days)],
        "from": _clock(window.start),
        "to": _clock(window.end),
        "zone": window.zone,
    }


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
