# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs schemathesis against the whole API: a real store in SQLite, the reference core, and no VPN.

    python -m tests.fuzz.schemathesis_api SECONDS [OPTION...]

With examples, limits of each value, random values and chains of requests. Event streams are left out, because they do
not end. Two checks are left out too. Not all that fits the schema is accepted: a key may have been used, an ETag be
stale, a cursor be none. And what a dry run answers is not there afterwards.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from ipaddress import ip_address
from pathlib import Path

from admin_api.app import create_app
from admin_api.enforcement.service import Enforcement
from admin_api.event_hub import EventHub
from admin_api.http.identity import ALL_SCOPES
from admin_api.second_factors.secret_box import WEBHOOKS, SecretBox
from admin_api.second_factors.totp_issuer import TotpIssuer
from admin_api.server import ApiServer
from admin_api.services import Services
from admin_api.store import Store
from admin_api.tokens.service import create_token
from sentry_engine import Engine, Policy
from tests.admin_api.conftest import NEVER_BLOCK, RULES, FakeConfiguration, FakeSessions
from vpn_frontend.settings import Endpoint

STREAMS = "^/api/v1/(events|blocks/stream)$"
# The caller's own token is needed, and there is no server to reload, nor a port that ACME servers reach.
LEFT_OUT = ("delete_token", "reload_server", "create_acme_challenge")
NOT_CHECKED = "positive_data_acceptance,ensure_resource_availability"
DETERMINISTIC = "--generation-deterministic"  # needs no database of what failed before
SETTINGS = Path(__file__).with_name("schemathesis.toml")


async def run(seconds: int, options: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="ocs-api-") as name:
        folder = Path(name)
        rules = folder / "rules"
        rules.mkdir()
        (rules / "rules.json").write_text(json.dumps(RULES))
        store = await Store.open(f"sqlite:///{folder / 'ocsentry.db'}")
        engine = Engine(Policy.load(rules), core="reference", never_block=NEVER_BLOCK)
        events = EventHub()
        sessions = FakeSessions(engine)
        enforcement = Enforcement(engine, sessions, store, [rules], events=events, never_block=NEVER_BLOCK)
        await enforcement.start()
        services = Services(
            store=store,
            engine=engine,
            enforcement=enforcement,
            sessions=sessions,
            events=events,
            totp=TotpIssuer.with_key(bytes(32), "API"),
            webhook_box=SecretBox(bytes(32), WEBHOOKS),
            settings_control=FakeConfiguration(),
        )
        api = ApiServer(create_app(services), services, listen=Endpoint(ip_address("127.0.0.1"), 0), socket_path=None)
        await api.start()
        try:
            _, token = await create_token(store, "schemathesis", ALL_SCOPES, by="the tests")
            return await asyncio.to_thread(attack, api.port, token, seconds, options)
        finally:
            events.close()
            await api.stop()
            await enforcement.stop()
            engine.close()
            await store.close()


def attack(port: int, token: str, seconds: int, options: list[str]) -> int:
    command = [
        Path(sys.executable).with_name("st"), "--config-file", SETTINGS, "run", f"http://127.0.0.1:{port}/openapi.json",
        "--header", f"Authorization: Bearer {token}",
        "--max-time", str(seconds),
        "--exclude-path-regex", STREAMS,
        *(word for name in LEFT_OUT for word in ("--exclude-operation-id", name)),
        "--exclude-checks", NOT_CHECKED,
        "--request-timeout", "30",
        *([] if DETERMINISTIC in options else ["--generation-database", "none"]),
        "--continue-on-failure",
        "--no-color",
        *options,
    ]  # fmt: skip
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(asyncio.run(run(int(sys.argv[1]), sys.argv[2:])))
