# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.responses import Response

    from admin_api.console.visit import Visit


@dataclass(frozen=True, slots=True)
class Page:
    """``path``: below ``/console``. ``scopes``: without which the page tells that it is not permitted.

    ``step_up``: the change ends tunnels or takes a policy back, so the person must have signed in a short while ago.
    """

    method: str
    path: str
    scopes: tuple[str, ...]
    answer: Callable[[Visit], Awaitable[Response]]
    step_up: bool = False
