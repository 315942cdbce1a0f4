# SPDX-License-Identifier: GPL-3.0-or-later
"""What the doctor says of a node, on a real PostgreSQL."""

from __future__ import annotations

import pytest

from ocsentry.configuration.model import load_config
from ocsentry.setup.checks import fleet

pytestmark = pytest.mark.asyncio


@pytest.fixture
def findings(tmp_path):
    secret = tmp_path / "fleet.secret"
    secret.write_text("00" * 32)
    secret.chmod(0o600)
    path = tmp_path / "ocsentry.toml"

    def findings(url, name="n1", addresses="nat"):
        path.write_text(
            f"[store]\nurl = '{url}'\n[fleet]\nname = '{name}'\nsecret_file = '{secret}'\naddresses = '{addresses}'\n"
            f"[admin]\nsocket = '{tmp_path / 'no.sock'}'\n"
        )
        found = [*fleet.check_fleet(load_config(path))]
        return {one.check.removeprefix("fleet: "): one for one in found}

    findings.secret = secret
    return findings


async def test_a_node_that_can_start(findings, fleet_url):
    found = findings(fleet_url)
    assert {name: one.level for name, one in found.items()} == dict.fromkeys(
        ("secret", "database", "schema", "clock", "name"), "ok"
    )
    assert found["database"].detail.startswith("PostgreSQL 1")


async def test_a_new_database_and_one_of_a_later_version(findings, postgresql_url, fleet_url, ask):
    ask("UPDATE alembic_version SET version_num = '9999'")
    assert (found := findings(fleet_url)["schema"]).level == "fail"
    assert "9999 is newer" in found.detail
    ask("UPDATE alembic_version SET version_num = '0014'")
    assert "upgrades it" in findings(fleet_url)["schema"].detail
    ask("DROP TABLE alembic_version")
    ask("DROP SCHEMA fleet CASCADE")
    assert "none yet" in findings(postgresql_url)["schema"].detail
    ask("CREATE ROLE guest LOGIN")
    try:
        found = findings(postgresql_url.replace("postgres@", "guest@"))["schema"]
        assert (found.level, found.fix.partition(":")[0]) == ("fail", "as the database's owner")
    finally:
        ask("DROP ROLE guest")


async def test_another_server_with_the_name(findings, fleet_url, make_node):
    await make_node("n1")
    assert "another server is the node n1" in findings(fleet_url)["name"].detail
    assert findings(fleet_url, name="n2")["name"].level == "ok"


async def test_an_open_secret_a_wrong_clock_and_no_database(findings, fleet_url, monkeypatch):
    findings.secret.chmod(0o640)
    monkeypatch.setattr(fleet.time, "time", lambda: 1_000_000_000.0)
    found = findings(fleet_url)
    assert found["secret"].command == f"chmod 600 {findings.secret}"
    assert found["clock"].level == "warn"
    findings.secret.unlink()
    found = findings("postgresql+psycopg://none@/none?host=/nowhere")
    assert "openssl rand" in found["secret"].fix
    assert found["database"].level == "fail"
    assert "cannot be asked" in found["database"].detail


async def test_routed_addresses_need_something_that_announces_them(findings, fleet_url, tmp_path, monkeypatch):
    monkeypatch.setattr(fleet, "PROCESSES", tmp_path)
    found = findings(fleet_url, addresses="routed")["routing"]
    assert (found.level, "redistribute kernel" in found.fix) == ("warn", True)
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "comm").write_text("bgpd\n")
    (tmp_path / "8").mkdir()  # a process that has ended meanwhile
    found = findings(fleet_url, addresses="routed")["routing"]
    assert (found.level, found.detail.partition(" ")[0]) == ("ok", "bgpd")
    assert "routing" not in findings(fleet_url)
