# SPDX-License-Identifier: GPL-3.0-or-later
"""What a start loads before the VPN listens. The API's libraries and those of unused methods come later, or never."""

import json
import subprocess
import sys

import pytest

from admin_api.store.schema import newest_revision
from lab.timeouts import TIMEOUT

LATER = {
    *("fastapi", "starlette", "uvicorn", "jinja2", "prometheus_client"),  # of the API
    *(
        "admin_api.app",
        "admin_api.event_schemas.union",
        "admin_api.services",
        "admin_api.webhooks.dispatcher",
        "ocsentry.runtime.admin.api",
    ),
    *("alembic", "mako", "sqlalchemy.dialects.postgresql"),  # of a database with an older schema, or of another kind
    *("httpx", "httpcore", "joserfc", "ldap3", "gssapi", "pyrad"),  # of feeds, webhooks and methods
    *("maxminddb", "sentry_engine.wolfsentry.model"),  # of policies that few have
    *("http.server", "urllib.request", "multiprocessing"),  # large, and of no use to a start
}
MOST = 1_100  # modules with those of the interpreter; 1 051 in November 2026


def _modules_of(*imports):
    program = f"import json, sys, {', '.join(imports)}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=TIMEOUT)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["ocsentry.configuration.model", "ocsentry.configuration.ocserv.loading"])
def test_the_vpn_listens_without_the_libraries_of_others(module):
    """The server's modules, and what its functions load on the way, when passwords of the database are asked for."""
    command = ("ocsentry.cli.commands.service", "ocsentry.runtime.process", "ocsentry.runtime.server")
    on_the_way = ("ocsentry.login_methods.password", "vpn_frontend.gateway.native_gateway")
    loaded = _modules_of(*command, *on_the_way, "sqlalchemy.dialects.sqlite.aiosqlite", module)
    assert loaded & LATER == set()
    assert len(loaded) <= MOST


def test_a_newest_schema_is_known_without_alembic():
    from alembic.config import Config  # noqa: PLC0415 - as the program does
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    from admin_api.store import migrations  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", next(iter(migrations.__path__)))
    assert ScriptDirectory.from_config(config).get_current_head() == newest_revision()
