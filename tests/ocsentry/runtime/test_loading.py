# SPDX-License-Identifier: GPL-3.0-or-later
"""What a start loads before the VPN listens. The API's libraries and those of unused methods come later, or never."""

import subprocess
import sys

import pytest

from admin_api.store.schema import newest_revision

LATER = {
    *("fastapi", "starlette", "uvicorn", "jinja2"),  # of the API
    *("alembic", "mako"),  # of a database with an older schema
    *("httpx", "httpcore", "joserfc", "ldap3", "gssapi"),  # of feeds, webhooks and methods
}
TIMEOUT = 60


@pytest.mark.parametrize("module", ["ocsentry.runtime.process", "ocsentry.configuration.ocserv.loading"])
def test_the_vpn_listens_without_the_libraries_of_others(module):
    program = f"import sys, {module}; print(sorted({LATER} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=TIMEOUT)
    assert done.stdout == "[]\n"


def test_a_newest_schema_is_known_without_alembic():
    from alembic.config import Config  # noqa: PLC0415 - as the program does
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    from admin_api.store import migrations  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", next(iter(migrations.__path__)))
    assert ScriptDirectory.from_config(config).get_current_head() == newest_revision()
