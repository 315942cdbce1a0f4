# SPDX-License-Identifier: GPL-3.0-or-later
"""Entity tags, and changes that depend on them (RFC 9110, 8.8.3 and 13.1). Imports no web framework."""

import hashlib
import json
from collections.abc import Callable
from typing import TypeVar

from admin_api.http.problems import ApiError, ProblemKind

Resource = TypeVar("Resource")


def etag_of_version(*identity: object) -> str:
    """Returns a strong ETag of what identifies one state of a resource."""
    content = json.dumps([str(part) for part in identity], separators=(",", ":"))
    return f'"{hashlib.sha256(content.encode()).hexdigest()[:20]}"'


def names_etag(header: str, etag: str) -> bool:
    """True if an If-Match or If-None-Match header names the tag."""
    return header.strip() == "*" or etag in (tag.strip() for tag in header.split(","))


def expect_unchanged(if_match: str | None, etag: str, what: str) -> None:
    """Raises ``ApiError`` unless If-Match names the present ETag of ``what``."""
    if if_match is None:
        raise ApiError(ProblemKind.PRECONDITION_REQUIRED, f"Read {what} and send its ETag as If-Match")
    if not names_etag(if_match, etag):
        raise ApiError(ProblemKind.STALE, f"Another caller changed {what}; read it again")


def find_unchanged(
    found: Resource | None, etag_of: Callable[[Resource], str], if_match: str | None, what: str
) -> Resource:
    """Returns the resource that a conditional change is about. Raises ``ApiError`` (404, 428 or 412)."""
    if found is None:
        raise ApiError(ProblemKind.NOT_FOUND, f"There is no {what}")
    expect_unchanged(if_match, etag_of(found), f"the {what}")
    return found
