# SPDX-License-Identifier: GPL-3.0-or-later
"""``/docs``: the reference page. It is made once, at its first request."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from starlette.responses import HTMLResponse

from admin_api.reference.model import read_reference

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response

PATH = "/docs"
FOLDER = Path(__file__).with_name("templates")


class ReferencePage:
    """Has the endpoint of the page that shows what ``describe`` returns."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._page = cache(lambda: render_page(describe()))

    async def get(self, request: Request) -> Response:  # noqa: ARG002 - of every endpoint
        page = await asyncio.to_thread(self._page)
        style = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{style}'; frame-ancestors 'none'; base-uri 'none'"
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})


def render_page(description: dict[str, Any]) -> str:
    """Returns the page of an OpenAPI description."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("reference.html").render(page=read_reference(description), style=_style())


@cache
def _style() -> str:
    return (FOLDER / "reference.css").read_text(encoding="utf-8")
