# SPDX-License-Identifier: GPL-3.0-or-later
"""What the configuration and the API say of receivers alike. Imports no web framework: every command reads it."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

MAX_WEBHOOKS = 32  # each has a task, and at most one request at a time
MAX_URL = 2048  # characters


def check_url(text: str) -> str:
    """Raises ``ValueError``."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("write an http or https URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL with a login would be shown to other callers; the signature authenticates deliveries")
    if parts.port == 0:
        raise ValueError("the port is 1 to 65535")
    return text


WebhookUrl = Annotated[
    str,
    StringConstraints(min_length=8, max_length=MAX_URL, pattern=r"^[\x21-\x7e]+$"),
    AfterValidator(check_url),
    Field(description="Where deliveries are sent by POST.", examples=["https://hooks.example.org/ocsentry"]),
]
