# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the forms of the console, and refuses those that another site sends.

The session cookie is ``SameSite=Strict``, so a browser leaves it out of such a request. The check of ``Origin`` holds
for pages of other ports on the same host, which are the same site (RFC 6454; Fetch Standard, ``Sec-Fetch-Site``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_FIELDS = 200
MAX_FORM = 1024 * 1024  # bytes; a rule document is the largest field
FORM_TYPE = "application/x-www-form-urlencoded"


class FormError(Exception):
    """The form is refused. The text says why."""


async def read_form(request: Request) -> dict[str, str]:
    """Returns the fields by name, the last value of each. Raises ``FormError``."""
    _check_origin(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise FormError("The form has another media type")
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_FORM:
            raise FormError(f"A form has at most {MAX_FORM} bytes")
    try:
        fields = parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise FormError("The form cannot be read") from None
    return {name: value.replace("\r\n", "\n") for name, value in fields}


def _check_origin(request: Request) -> None:
    origin = request.headers.get("origin", "")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site != "same-origin" or urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        raise FormError("The form was sent by another site. Open it in the console")
