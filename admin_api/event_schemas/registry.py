# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of event models: one for each kind that reaches the event stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Callable


class EventFields(BaseModel):
    """Base of the fields of one kind. Addresses, networks and enumerations are text. Kinds only gain fields."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


Model = TypeVar("Model", bound=type[EventFields])
EVENT_FIELDS: dict[str, type[EventFields]] = {}  # by kind


def event(*kinds: str) -> Callable[[Model], Model]:
    """Register the decorated model as the fields of ``kinds``."""

    def register(model: Model) -> Model:
        for kind in kinds:
            EVENT_FIELDS[str(kind)] = model
        return model

    return register
