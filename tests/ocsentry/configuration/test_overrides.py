# SPDX-License-Identifier: GPL-3.0-or-later
"""Overrides of the file's settings: what can be overridden, and what is shown."""

from __future__ import annotations

import pytest

from ocsentry.configuration.changes import LIVE, RunningConfiguration
from ocsentry.configuration.model import load_config
from ocsentry.configuration.overrides import (
    MASK,
    OVERRIDABLE,
    SettingError,
    apply_overrides,
    keys_of_file,
    show_settings,
)

TEXT = """
[vpn.limits]
max_same_clients = 3
[vpn.camouflage]
secret = "hidden-door"
[store]
url = "postgresql+psycopg://u:secret@db/x"
[groups.staff]
banner = "hello"
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "ocsentry.toml").write_text(TEXT)
    return load_config(tmp_path / "ocsentry.toml")


def test_every_key_that_a_reload_can_change_is_shown_and_can_be_set_to_what_it_is(config):
    shown = show_settings(config.values)
    assert OVERRIDABLE | {"vpn.profile", "policy.never_block"} == LIVE, "these change in the file alone"
    merged = apply_overrides(config, {key: shown[key] for key in OVERRIDABLE})
    assert show_settings(merged.values) == shown
    assert RunningConfiguration(config).compare(merged).live == ()


def test_changes_are_what_a_reload_would_put_in_force(config):
    changes = {
        "vpn.limits.max_same_clients": 5,
        "vpn.network.routes": ["10.0.0.0/8"],
        "auth.banner": "Welcome",
        "admin.hosts": ["vpn.example.org"],
        "log.level": "debug",
    }
    merged = apply_overrides(config, changes)
    assert RunningConfiguration(config).compare(merged).live == tuple(sorted(changes))
    assert merged.vpn.limits.max_same_clients == 5
    assert merged.vpn.auth.banner == "Welcome"
    assert config.vpn.limits.max_same_clients == 3


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("vpn.limits.max_same_clients", "many", "valid integer"),
        ("vpn.limits.max_same_clients", True, "valid integer"),
        ("vpn.limits.max_same_clients", -1, "greater than"),
        ("vpn.network.routes", ["10.0.0.1/8"], "host bits"),
        ("vpn.network.routes", "10.0.0.0/8", "tuple"),
        ("vpn.network.restrict_to_ports", ["tcp/1", "!udp/2"], "!"),
        ("log.level", "loud", "'debug'"),
        ("admin.hosts", [1], "string"),
        ("vpn.listen", "0.0.0.0:443", "restart"),
        ("vpn.profile", "x", "in the file alone"),
        ("policy.never_block", [], "in the file alone"),
        ("vpn.no_such", 1, "no such key"),
        ("groups.staff", {}, "restart"),
    ],
)
def test_what_cannot_be_used_names_its_key(config, key, value, reason):
    with pytest.raises(SettingError, match=reason) as error:
        apply_overrides(config, {key: value})
    assert error.value.key == key


def test_secrets_are_masked_and_tables_left_out(config):
    shown = show_settings(config.values)
    assert shown["vpn.camouflage.secret"] == shown["store.url"] == MASK
    assert not [key for key in shown if key.startswith("groups")]
    assert "hidden-door" not in str(shown)
    words = {key: set(key.rpartition(".")[2].split("_")) for key in shown}
    secret = [key for key, parts in words.items() if parts & {"secret", "password"} and "file" not in parts]
    assert secret == ["vpn.camouflage.secret"]


def test_what_the_file_sets_is_told_from_defaults(config):
    keys = set(keys_of_file(config.values))
    assert {"vpn.limits.max_same_clients", "vpn.camouflage.secret", "store.url"} <= keys
    assert "vpn.limits.max_clients" not in keys
