# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from ocsentry.configuration.model import ConfigError, load_config
from ocsentry.configuration.overrides import keys_of_file

FLEET = "[fleet]\nname = 'n1'\nsecret_file = 'fleet.secret'\n[store]\nurl = 'postgresql+psycopg://db/ocsentry'\n"


def load(tmp_path, text):
    path = tmp_path / "ocsentry.toml"
    path.write_text(text)
    return load_config(path)


@pytest.mark.parametrize(
    ("text", "dpd"),
    [("", 90), (FLEET, 10), (FLEET + "[vpn.session]\ndpd = 45", 45), (FLEET + "[vpn.session]\ndpd = 90", 90)],
)
def test_clients_of_a_fleet_leave_a_dead_node_soon(tmp_path, text, dpd):
    loaded = load(tmp_path, text)
    assert loaded.vpn.session.dpd == dpd
    assert ("vpn.session.dpd" in keys_of_file(loaded.values)) == ("dpd" in text)


def test_nodes_need_a_shared_database_and_a_secret(tmp_path):
    with pytest.raises(ConfigError, match=r"store\.url"):
        load(tmp_path, "[fleet]\nname = 'n1'\nsecret_file = 'fleet.secret'")
    with pytest.raises(ConfigError, match="secret_file"):
        load(tmp_path, "[fleet]\nname = 'n1'\n[store]\nurl = 'postgresql+psycopg://db/ocsentry'")
