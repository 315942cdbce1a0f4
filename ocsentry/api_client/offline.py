# SPDX-License-Identifier: GPL-3.0-or-later
"""The API without a running server: the same application, in this process, on the same database.

It serves what only the database holds (users, tokens), so that the command line behaves alike with and without a
server. It has no live sessions, and its policy is empty.
"""

from __future__ import annotations

import asyncio
import getpass
from typing import TYPE_CHECKING

import httpx

from admin_api.app import create_app
from admin_api.enforcement.api_rules import as_one_document
from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from admin_api.http.identity import ALL_SCOPES, Principal
from admin_api.http.paths import PRINCIPAL
from admin_api.second_factors.secret_box import WEBHOOKS, SecretBox
from admin_api.second_factors.totp_issuer import TotpIssuer
from admin_api.services import Services
from admin_api.store import Store
from ocsentry.api_client.client import ApiClient
from ocsentry.configuration.key_file import KeyFileError, make_key
from ocsentry.late_sessions import LateSessions
from sentry_engine import Engine, Policy
from vpn_frontend.sessions.effective_settings import SettingsResolver

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from ocsentry.configuration.model import LoadedConfig


class OfflineClient(ApiClient):
    """Opens the store for each request, and closes it after the answer."""

    def __init__(self, config: LoadedConfig) -> None:
        self._config = config

    def send(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        store = await Store.open(self._config.store_url, node=self._config.values.fleet.name)
        try:
            with Engine(Policy.from_document(as_one_document([]))) as engine:
                settings = SettingsResolver(self._config.vpn, await store.group_overrides())
                transport = httpx.ASGITransport(_as_operator(self._make_app(store, engine, settings)))
                async with httpx.AsyncClient(transport=transport) as http:
                    return await http.send(request)
        finally:
            await store.close()

    def _make_app(self, store: Store, engine: Engine, settings: SettingsResolver) -> ASGIApp:
        events = EventHub()
        sessions, key = LateSessions(), self._totp_key()
        enforcement = Enforcement(engine, sessions, store, (), events=events)
        return create_app(
            Services(
                store=store,
                engine=engine,
                enforcement=enforcement,
                sessions=sessions,
                events=events,
                settings=settings,
                totp=TotpIssuer.with_key(key, self._config.vpn.auth.totp.issuer),
                webhook_box=None if key is None else SecretBox(key, WEBHOOKS),
            )
        )

    def _totp_key(self) -> bytes | None:
        """The key, made if there is none. ``None`` if it cannot be: the answers that need it say so."""
        try:
            return make_key(self._config.vpn.auth.totp.key_file)
        except KeyFileError:
            return None


def _as_operator(app: ASGIApp) -> ASGIApp:
    """Returns ``app`` with every scope for the caller: the database's file permissions decide who may use it."""
    principal = Principal(f"cli:{getpass.getuser()}", ALL_SCOPES, local=True)

    async def operate(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, PRINCIPAL: principal}, receive, send)

    return operate
