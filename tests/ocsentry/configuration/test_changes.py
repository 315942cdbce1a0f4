# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reload can put in force of a changed file, and what it leaves as it was."""

from __future__ import annotations

import json
from dataclasses import fields
from ipaddress import ip_network
from types import SimpleNamespace

import pytest

from ocsentry.configuration.changes import (
    LIVE,
    MAX_CLIENTS,
    RENEWED,
    SECTIONS,
    Difference,
    RunningConfiguration,
    flatten,
)
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
        ("max_same_clients = 2", "max_same_clients = 2\nmax_clients = 9", ["vpn.limits.max_clients"], []),
        ("max_same_clients = 2", "max_same_clients = 2\nmax_clients = 60000", [], ["vpn.limits.max_clients"]),
        ("192.168.99.0/24", "192.168.98.0/24", [], ["vpn.network.ipv4_pool"]),
        ("mtu = 1300", "mtu = 1200", ["groups.staff"], []),
        ("[groups.staff]\nmtu = 1300", "", ["groups.staff"], []),
        ("mtu = 1300", 'ipv4_pool = "10.5.0.0/24"', [], ["groups.staff"]),
        ("u:secret@h", "u:other@h", [], ["store.url"]),
        ("[store]", '[admin]\nhosts = ["x"]\n[log]\nlevel = "debug"\n[store]', ["admin.hosts", "log.level"], []),
    ],
    ids=[
        "routes", "limit", "limit of the gateway", "over it", "pool", "group", "group removed", "pool of a group",
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


def test_what_needs_other_hosts_or_logins_is_taken_together(load):
    running = RunningConfiguration(load(FILE))
    hosts = '[[vpn.host]]\nname = "a.example"\nauth = { require = ["totp"] }\n'
    text = FILE.replace("a.crt", "b.crt").replace("[groups.staff]", f"{hosts}[groups.staff]")
    new = load(f"{text}[groups.staff.auth]\nrequire = ['totp']\n[auth]\nattempts = 5\ntimeout = 30\n")
    difference = running.compare(new)
    renewed = ("auth.attempts", "groups.staff.auth", "vpn.certificate", "vpn.host")
    assert difference == Difference((), ("auth.timeout",), renewed)
    old = running.vpn
    merged = running.merge(new, difference)
    assert running.vpn is old
    assert running.take(new, difference) == merged
    assert (merged.certificate.name, [host.name for host in merged.hosts]) == ("b.crt", ["a.example"])
    assert (merged.auth.attempts, merged.auth.timeout) == (5, old.auth.timeout)
    assert merged.auth.group_rules["staff"].require == ("totp",)
    assert running.compare(new) == Difference((), ("auth.timeout",))


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


# A value of each key that a reload puts in force, other than its default.
OTHER_VALUES = {
    "admin.hosts": ["vpn.example.org"],
    "auth.banner": "Hello.",
    "auth.pre_login_banner": "Hello.",
    "log.level": "debug",
    "policy.never_block": ["198.51.100.0/24"],
    "vpn.bandwidth.from_client": 100_000,
    "vpn.bandwidth.per_user": True,
    "vpn.bandwidth.to_client": 100_000,
    "vpn.limits.max_same_clients": 7,
    "vpn.limits.on_excess": "kick_oldest",
    "vpn.network.append_routes": True,
    "vpn.network.client_bypass_protocol": True,
    "vpn.network.default_domain": "example.org",
    "vpn.network.dns": ["9.9.9.9"],
    "vpn.network.dynamic_exclude": ["example.org"],
    "vpn.network.dynamic_include": ["example.org"],
    "vpn.network.expose_iroutes": True,
    "vpn.network.iroutes": ["10.1.0.0/16"],
    "vpn.network.nbns": ["10.0.0.1"],
    "vpn.network.no_routes": ["10.2.0.0/16"],
    "vpn.network.proxy_pac_url": "http://example.org/proxy.pac",
    "vpn.network.restrict_to_ports": ["tcp/443"],
    "vpn.network.restrict_to_routes": True,
    "vpn.network.routes": ["10.3.0.0/16"],
    "vpn.network.split_dns": ["example.org"],
    "vpn.network.tunnel_all_dns": True,
    "vpn.profile": "profile.xml",
    "vpn.quota.day": 1_000_000,
    "vpn.quota.month": 1_000_000,
    "vpn.session.cookie_timeout": 301,
    "vpn.session.deny_roaming": True,
    "vpn.session.disconnect_grace": 16,
    "vpn.session.dpd": 91,
    "vpn.session.dtls": False,
    "vpn.session.idle_timeout": 3_600,
    "vpn.session.keepalive": 300,
    "vpn.session.mobile_dpd": 1_801,
    "vpn.session.mobile_idle_timeout": 3_600,
    "vpn.session.rekey_method": "new-tunnel",
    "vpn.session.rekey_time": 3_600,
    "vpn.session.session_timeout": 3_600,
}


def test_every_key_is_in_force_after_a_reload_or_told_to_need_a_restart(load, tmp_path):
    """Each key of the file in turn, alone. What the VPN runs with is then what a start with the file would give."""
    assert set(OTHER_VALUES) == LIVE
    (tmp_path / "profile.xml").write_text("<AnyConnectProfile/>")
    start = load("")
    for key, value in OTHER_VALUES.items():
        table, _, name = key.rpartition(".")
        new, running = load(f"[{table}]\n{name} = {json.dumps(value)}\n"), RunningConfiguration(start)
        difference = running.compare(new)
        assert difference == Difference((key,), ()), key
        assert running.take(new, difference) == new.vpn, key
        assert running.compare(new) == Difference(), key
    renewed = RENEWED & flatten(start.values).keys()
    assert renewed == RENEWED
    for key in renewed:
        new = SimpleNamespace(values=changed(start.values, key), vpn=start.vpn)
        assert RunningConfiguration(start).compare(new) == Difference((), (), (key,)), key
    others = flatten(start.values).keys() - LIVE - RENEWED - {MAX_CLIENTS}
    assert len(others) > 100
    for key in others:
        new = SimpleNamespace(values=changed(start.values, key), vpn=start.vpn)
        assert RunningConfiguration(start).compare(new) == Difference((), (key,)), key


def changed(section, key):
    """``section`` with another value of ``key``, which is no value of the key's type: only the comparison sees it."""
    name, _, rest = key.partition(".")
    value = changed(getattr(section, name), rest) if rest else object()
    return section.model_copy(update={name: value})
