# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reload can put in force of a changed file, and what it leaves as it was."""

from __future__ import annotations

from dataclasses import fields
from ipaddress import ip_network

import pytest

from ocsentry.configuration.changes import LIVE, SECTIONS, Difference, RunningConfiguration
from ocsentry.configuration.model import load_config

FILE = """
[vpn]
certificate = "a.crt"
[vpn.network]
routes = ["10.0.0.0/8"]
ipv4_pool = "192.168.99.0/24"
[vpn.limits]
max_same_clients = 2
[groups.staff]
mtu = 1300
[store]
url = "postgresql+psycopg://u:secret@h/d"
"""


@pytest.fixture
def load(tmp_path):
    def load(text):
        (tmp_path / "ocsentry.toml").write_text(text)
        return load_config(tmp_path / "ocsentry.toml")

    return load


@pytest.mark.parametrize(
    ("old", "new", "live", "restart"),
    [
        ('["10.0.0.0/8"]', '["10.9.0.0/16"]', ["vpn.network.routes"], []),
        ("max_same_clients = 2", "max_same_clients = 3", ["vpn.limits.max_same_clients"], []),
        ("max_same_clients = 2", "max_same_clients = 2\nmax_clients = 9", [], ["vpn.limits.max_clients"]),
        ("192.168.99.0/24", "192.168.98.0/24", [], ["vpn.network.ipv4_pool"]),
        ("a.crt", "b.crt", [], ["vpn.certificate"]),
        ("mtu = 1300", "mtu = 1200", ["groups.staff"], []),
        ("[groups.staff]\nmtu = 1300", "", ["groups.staff"], []),
        ("mtu = 1300", 'ipv4_pool = "10.5.0.0/24"', [], ["groups.staff"]),
        ("u:secret@h", "u:other@h", [], ["store.url"]),
        ("[store]", '[admin]\nhosts = ["x"]\n[log]\nlevel = "debug"\n[store]', ["admin.hosts", "log.level"], []),
    ],
    ids=[
        "routes", "limit", "limit of the gateway", "pool", "certificate", "group", "group removed", "pool of a group",
        "secret", "hosts and log",
    ],
)  # fmt: skip
def test_changed_keys(load, old, new, live, restart):
    running = RunningConfiguration(load(FILE))
    difference = running.compare(load(FILE.replace(old, new)))
    assert difference == Difference(tuple(live), tuple(restart))
    assert "secret" not in repr(difference)


def test_only_live_keys_are_taken_and_the_rest_is_told_again(load):
    running = RunningConfiguration(load(FILE))
    text = FILE.replace('["10.0.0.0/8"]', '["10.9.0.0/16"]').replace("192.168.99.0/24", "192.168.98.0/24")
    new = load(text.replace("mtu = 1300", "mtu = 1200"))
    taken = running.take(new, running.compare(new))
    assert taken.network.routes == (ip_network("10.9.0.0/16"),)
    assert taken.network.ipv4_pool == ip_network("192.168.99.0/24")
    assert taken.groups["staff"]["network"]["mtu"] == 1200
    assert running.compare(new) == Difference((), ("vpn.network.ipv4_pool",))
    back = load(FILE)
    assert running.compare(back) == Difference(("groups.staff", "vpn.network.routes"), ())


def test_every_live_key_exists(load):
    config = load(FILE)
    for section, keys in SECTIONS.items():
        assert keys <= {entry.name for entry in fields(getattr(config.vpn, section))}
        assert keys <= set(type(getattr(config.values.vpn, section)).model_fields)
    assert {"vpn.profile", "auth.banner", "admin.hosts", "log.level"} <= LIVE


def test_a_banner_before_the_login_changes_while_the_server_runs(load):
    text = FILE.replace("[groups.staff]", "[auth]\nbanner = 'Hi.'\npre_login_banner = 'Old.'\n[groups.staff]")
    running = RunningConfiguration(load(text))
    new = load(text.replace("'Old.'", "'New.'"))
    assert running.compare(new) == Difference(("auth.pre_login_banner",), ())
    taken = running.take(new, running.compare(new))
    assert (taken.auth.banner, taken.auth.pre_login_banner) == ("Hi.", "New.")


def test_a_changed_banner_is_in_force_at_the_hosts_without_their_own(load):
    hosts = '[[vpn.host]]\nname = "a.example"\n[[vpn.host]]\nname = "b.example"\nauth = { banner = "Old." }\n'
    text = FILE.replace("[groups.staff]", f"{hosts}[auth]\nbanner = 'Old.'\n[groups.staff]")
    running = RunningConfiguration(load(text))
    new = load(text.replace("'Old.'", "'New.'"))
    vpn = running.take(new, running.compare(new))
    assert (vpn.auth.banner, [host.auth.banner for host in vpn.hosts]) == ("New.", ["New.", "Old."])
