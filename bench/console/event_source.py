# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench.console.event_source RATE FOLDER`: the API and its console, with RATE made-up events a second.

A server with real clients would need the processors that the browser is measured on. Prints one line of JSON, a link
that signs in, and then a line with its processor time for each line on standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from admin_api.app import create_app
from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from admin_api.http.paths import CONSOLE_PATH
from admin_api.roles import SCOPES, Role
from admin_api.server import ApiServer
from admin_api.services import Services
from admin_api.store import Store
from sentry_engine import Engine, Policy
from vpn_frontend.settings import Endpoint

if TYPE_CHECKING:
    from admin_api.ports import LiveSessions

STEP = 0.02  # seconds between two portions of events
ADDRESSES = 251


class NoSessions:
    """The part of ``LiveSessions`` that pages without sessions use."""

    def list(self) -> tuple[()]:
        return ()

    def statistics(self) -> None:
        """The VPN has not started."""


async def emit(events: EventHub, rate: int) -> None:
    started, sent = time.monotonic(), 0
    while True:
        await asyncio.sleep(STEP)
        due = int((time.monotonic() - started) * rate)
        for number in range(sent, due):
            address = f"198.51.100.{number % ADDRESSES}"
            events.emit("login_refused", address=address, user=f"user{number % 97}", reason="password", final=True)
        sent = due


async def serve(rate: int, folder: Path) -> None:
    store = await Store.open(f"sqlite:///{folder / 'bench.db'}")
    engine, events = Engine(Policy()), EventHub()
    sessions: LiveSessions = NoSessions()  # type: ignore[assignment] # the pages that are opened ask for no more
    enforcement = Enforcement(engine, sessions, store, [], events=events)
    await enforcement.start()
    services = Services(
        store=store, engine=engine, enforcement=enforcement, sessions=sessions, events=events, hosts=["127.0.0.1"]
    )
    server = ApiServer(create_app(services), services, listen=Endpoint(ip_address("127.0.0.1"), 0), socket_path=None)
    await server.start()
    code = services.one_time_codes.create("bench", SCOPES[Role.VIEWER], services.clock.monotonic())
    base = f"http://127.0.0.1:{server.port}{CONSOLE_PATH}"
    print(json.dumps({"base": base, "sign_in": f"{base}/sign-in?code={code}"}), flush=True)
    source = asyncio.create_task(emit(events, rate))
    while await asyncio.to_thread(sys.stdin.readline):
        print(time.process_time(), flush=True)
    source.cancel()
    await server.stop()
    await enforcement.stop()
    engine.close()
    await store.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
