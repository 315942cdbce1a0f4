# SPDX-License-Identifier: GPL-3.0-or-later
"""``bearer``: tokens of the provider of ``[auth.bearer]``, which the client brings along."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ocsentry.login_methods.oidc import open_http
from ocsentry.user_files.file_thread import FileThread
from ocsentry.user_files.read_through import ReadThroughFile
from vpn_frontend.auth.bearer.method import BearerMethod
from vpn_frontend.auth.bearer.tokens import BearerTokens
from vpn_frontend.auth.oidc.claims import file_of_url
from vpn_frontend.auth.oidc.signing_keys import ProviderDocuments, ProviderError, parse_document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocsentry.login_methods.context import MethodContext
    from vpn_frontend.auth.method import Method
    from vpn_frontend.auth.oidc.signing_keys import Documents


@asynccontextmanager
async def open_bearer(context: MethodContext) -> AsyncIterator[Method]:
    rules, files = context.config.values.auth.bearer.rules(), FileThread()
    try:
        async with open_http() as http:
            documents = FileDocuments(files, ProviderDocuments(http))
            yield BearerMethod(context.directory, BearerTokens(rules, documents))
    finally:
        files.close()


class FileDocuments:
    """``Documents`` of ``file:`` URLs, read on ``thread``; those of other URLs are ``others``."""

    def __init__(self, thread: FileThread, others: Documents) -> None:
        self._thread = thread
        self._others = others

    async def ask(self, method: str, url: str, **content: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's own
        path = file_of_url(url)
        if path is None:
            return await self._others.ask(method, url, **content)
        file = ReadThroughFile(path, partial(parse_document, url=url))
        try:
            return await self._thread.run(file.load)
        except OSError as error:
            raise ProviderError(f"{url}: cannot be read: {error.strerror or error}") from error
