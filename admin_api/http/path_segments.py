# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in a URL's path that hold a slash: ``/users/DOMAIN%2Fbob`` is the user ``DOMAIN/bob``.

Servers decode a path before it is routed, so an encoded slash would look like a separator. ``PathSegments`` keeps
slashes and percent signs of a segment encoded, and the path parameter ``{name:segment}`` decodes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.convertors import Convertor, register_url_convertor

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Segment(Convertor[str]):
    """One segment of a path, with any characters in it."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return value.replace("%2F", "/").replace("%25", "%")

    def to_string(self, value: str) -> str:
        return value.replace("%", "%25").replace("/", "%2F")


class Segments(Segment):
    """The rest of a path: a name whose slashes may be encoded or not."""

    regex = ".*"


class FeedId(Segment):
    """The id of a list, slashes and colons included, before ``:refresh``."""

    regex = "(?:(?!:refresh$).)+"


class NodeName(Convertor[str]):
    """The name of a node, before ``:drain`` and ``:resume``."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class Id(Convertor[str]):
    """An id that the server made. What stands beside ids in a path, such as ``stream`` or ``ID:test``, is none."""

    regex = "(?!(?:history|statistics|stream|waiting)$)[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


SEGMENT = Segment()
BY_NAME = "/{name:segment}"  # the path of a resource below its collection
BY_RULE_ID = "/{rule_id:segments}"
BY_BLOCK_ID = "/{block_id:id}"
BY_SESSION_ID = "/{session_id:id}"
BY_WEBHOOK_ID = "/{webhook_id:id}"
BY_NODE_NAME = "/{name:node_name}"
BY_FEED_ID = "/{feed_id:feed_id}"
register_url_convertor("segment", SEGMENT)
register_url_convertor("segments", Segments())
register_url_convertor("feed_id", FeedId())
register_url_convertor("id", Id())
register_url_convertor("node_name", NodeName())


class PathSegments:
    """Middleware: keeps the encoded slashes of a request's path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path") or b""
        if scope["type"] == "http" and (b"%2f" in raw.lower() or b"%25" in raw):
            segments = raw.decode("ascii", "replace").split("/")
            scope = {**scope, "path": "/".join(SEGMENT.to_string(unquote(segment)) for segment in segments)}
        await self._app(scope, receive, send)
