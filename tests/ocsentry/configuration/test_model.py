# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration file: defaults, paths, and errors that name the key."""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from dataclasses import fields
from ipaddress import IPv4Address, IPv4Network
from itertools import chain
from pathlib import Path

import pytest
from annotated_types import Ge, Le

from admin_api.session_settings import sections as session_sections
from admin_api.session_settings.sections import (
    BandwidthSection,
    LimitsSection,
    NetworkSection,
    QuotaSection,
    SessionSection,
)
from ocsentry.configuration import model
from ocsentry.configuration.fields import Section
from ocsentry.configuration.model import Config, ConfigError, VpnSection, find_config, load_config
from ocsentry.configuration.rendered_docs import PAGES, render_page
from ocsentry.configuration.sections import auth as auth_section
from ocsentry.configuration.sections.auth import AuthSection
from ocsentry.configuration.sections.host import HostSection
from vpn_frontend.protocol.constants import MAX_MTU, MIN_MTU
from vpn_frontend.settings import (
    MAX_WORKERS,
    AuthSettings,
    BandwidthSettings,
    Endpoint,
    LimitSettings,
    LoginRules,
    NetworkSettings,
    PortRule,
    QuotaSettings,
    SessionSettings,
    TotpSettings,
    VpnSettings,
)

ROOT = Path(__file__).parents[3]


def write(folder: Path, text: str) -> Path:
    path = folder / "ocsentry.toml"
    path.write_text(text)
    return path


def problems_of(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return [problem.removeprefix(f"{path}: ") for problem in caught.value.problems]


def test_an_empty_file_means_the_defaults_of_the_vpn(tmp_path):
    loaded = load_config(write(tmp_path, ""))
    auth = AuthSettings(totp=TotpSettings(key_file=tmp_path / "totp.key"))
    expected = VpnSettings(certificate=tmp_path / "server.crt", private_key=tmp_path / "server.key", auth=auth)
    assert loaded.vpn == expected
    assert loaded.store_url == f"sqlite:///{tmp_path}/ocsentry.db"
    assert loaded.values.policy.rules == (tmp_path / "rules",)
    assert loaded.values.admin.socket == tmp_path / "admin.sock"


def test_defaults_and_bounds_are_those_of_the_vpn():
    """Each key of a table is one of the settings; what the file accepts is what the VPN accepts."""
    sections = {
        NetworkSettings: NetworkSection, LimitSettings: LimitsSection, SessionSettings: SessionSection,
        AuthSettings: AuthSection, VpnSettings: VpnSection, BandwidthSettings: BandwidthSection,
        QuotaSettings: QuotaSection,
    }  # fmt: skip
    elsewhere = defaultdict(
        set, {VpnSettings: {"auth", "groups", "hosts"}, AuthSettings: {"group_rules"}}
    )  # other tables
    for settings, section in sections.items():
        tables = {name for name, entry in section.model_fields.items() if is_table(entry.annotation)}
        expected = {field.name for field in fields(settings)} - elsewhere[settings] - tables
        assert section.model_fields.keys() - tables == expected
    assert {Ge(MIN_MTU), Le(MAX_MTU)} <= {*NetworkSection.model_fields["mtu"].metadata}
    assert Le(MAX_WORKERS) in VpnSection.model_fields["worker_threads"].metadata


def is_table(annotation: object) -> bool:
    if annotation == tuple[HostSection, ...]:
        return True
    return isinstance(annotation, type) and issubclass(annotation, Section)


def test_a_default_of_the_file_has_no_second_place():
    """The sections of the VPN take every default from the settings: none is written as a literal."""
    bodies = [ast.parse(Path(module.__file__).read_text()).body for module in (model, auth_section, session_sections)]
    names = ("Network", "Bandwidth", "Quota", "Limits", "Session", "Vpn", "Auth")
    sections = {f"{name}Section" for name in names}
    assert sections <= {section.name for body in bodies for section in body if isinstance(section, ast.ClassDef)}
    literals = [
        f"{section.name}.{entry.target.id}"
        for section in chain(*bodies)
        if isinstance(section, ast.ClassDef) and section.name in sections
        for entry in section.body
        if isinstance(entry, ast.AnnAssign)
        and isinstance(entry.value, ast.Call)
        and entry.value.args
        and isinstance(entry.value.args[0], ast.Constant | ast.List)
    ]
    assert literals == []


def test_values_reach_the_vpn(tmp_path):
    text = """
    [vpn]
    listen = ["192.0.2.1:4443", "[::1]:443"]
    dtls = false
    private_key = "/etc/key.pem"
    [vpn.network]
    ipv4_pool = "10.1.0.0/16"
    ipv6_pool = ""
    routes = ["10.0.0.0/8", "fd00::/8"]
    [vpn.limits]
    on_excess = "kick_oldest"
    [auth]
    banner = "hello"
    """
    vpn = load_config(write(tmp_path, text)).vpn
    assert vpn.listen[0] == Endpoint(IPv4Address("192.0.2.1"), 4443)
    assert vpn.dtls is False
    assert vpn.private_key == Path("/etc/key.pem")
    assert vpn.network.ipv4_pool == IPv4Network("10.1.0.0/16")
    assert vpn.network.ipv6_pool is None
    assert str(vpn.network.routes[1]) == "fd00::/8"
    assert vpn.limits.on_excess == "kick_oldest"
    assert vpn.auth.banner == "hello"


def test_clients_get_no_name_server_that_is_not_configured(tmp_path):
    assert load_config(write(tmp_path, "[vpn.network]\nipv4_pool = '10.9.0.0/24'")).vpn.network.dns == ()


def test_profiles_are_read_from_their_files(tmp_path):
    (tmp_path / "staff.xml").write_text("<AnyConnectProfile/>")
    vpn = load_config(write(tmp_path, "[vpn]\nprofile = 'staff.xml'\n[groups.a]\nprofile = 'staff.xml'")).vpn
    assert (vpn.profile, vpn.groups["a"]["profile"]) == ("<AnyConnectProfile/>", "<AnyConnectProfile/>")


def test_groups_reach_the_vpn(tmp_path):
    """Keys of a group may be written with or without their table."""
    text = """
    [groups.staff]
    label = "The staff"
    routes = ["10.0.0.0/8"]
    restrict_to_ports = ["tcp/443", "udp/8000-8100"]
    from_client = 1_250_000
    schedule = [{days = ["mon"], from = "08:00", to = "18:00"}]
    [groups.staff.network]
    dns = ["10.0.0.1"]
    [groups.staff.quota]
    day = 5
    """
    staff = load_config(write(tmp_path, text)).vpn.groups["staff"]
    assert staff["network"] == {
        "dns": (IPv4Address("10.0.0.1"),),
        "routes": (IPv4Network("10.0.0.0/8"),),
        "restrict_to_ports": (PortRule("tcp", 443, 443), PortRule("udp", 8000, 8100)),
    }
    assert (staff["bandwidth"], staff["quota"], staff["label"]) == ({"from_client": 1_250_000}, {"day": 5}, "The staff")
    assert [(window.start, window.end) for window in staff["schedule"]] == [(480, 1080)]


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("[vpn]\nlisten = '1.2.3.4'", "vpn.listen", "not ADDRESS:PORT"),
        ("[vpn]\nlisten = []", "vpn.listen", "at least 1"),
        ("[vpn]\nlisten = 443", "vpn.listen", "list"),
        ("[vpn]\ndtls = 1", "vpn.dtls", "boolean"),
        ("[vpn]\nworker_threads = '4'", "vpn.worker_threads", "integer"),
        ("[vpn]\nworker_threads = true", "vpn.worker_threads", "integer"),
        ("[vpn]\nlisten_to = ''", "vpn.listen_to", "unknown key"),
        ("[vpn.network]\nmtu = 100", "vpn.network.mtu", str(MIN_MTU)),
        ("[vpn.network]\ndevice = 'a/b'", "vpn.network.device", "match"),
        ("[vpn.network]\nipv4_pool = '10.0.0.1/8'", "vpn.network.ipv4_pool", "host bits"),
        ("[vpn.network]\nipv4_pool = 'fd00::/64'", "vpn.network.ipv4_pool", "other address family"),
        ("[vpn.network]\nipv4_pool = 5", "vpn.network.ipv4_pool", "text in quotes"),
        ("[vpn.network]\ndns = ['one.one']", "vpn.network.dns", "IPv4 or IPv6 address"),
        ("[vpn.limits]\nmax_clients = 0", "vpn.limits.max_clients", "greater than or equal to 1"),
        ("[vpn.limits]\non_excess = 'panic'", "vpn.limits.on_excess", "deny_new"),
        ("[vpn.session]\ndpd = -1", "vpn.session.dpd", "greater than or equal to 0"),
        ("[vpn.session]\ncookie_timeout = 1.5", "vpn.session.cookie_timeout", "integer"),
        ("[vpn.network]\nrestrict_to_ports = ['tcp/443', '!udp/53']", "vpn.network.restrict_to_ports", "all entries"),
        ("[vpn.network]\nrestrict_to_ports = ['tcp/70000']", "vpn.network.restrict_to_ports", "65535"),
        ("[vpn.network]\nrestrict_to_ports = ['icmp/8']", "vpn.network.restrict_to_ports", "no ports"),
        ("[vpn.network]\nsplit_dns = ['a b']", "vpn.network.split_dns", "pattern"),
        ("[vpn.network]\nproxy_pac_url = 'file:x'", "vpn.network.proxy_pac_url", "pattern"),
        ("[vpn.bandwidth]\nfrom_client = '1M'", "vpn.bandwidth.from_client", "integer"),
        ("[vpn.quota]\nday = -1", "vpn.quota.day", "greater than or equal to 0"),
        ("[groups.a]\nrutes = []", "groups.a.rutes", "unknown key"),
        ("[groups.a]\nmtu = 2", "groups.a.network.mtu", str(MIN_MTU)),
        ("[groups.a.network]\ndevice = 'x'", "groups.a.network.device", "unknown key"),
        ("[groups.a.limits]\nmax_clients = 3", "groups.a.limits.max_clients", "unknown key"),
        ("[groups.a]\nmtu = 900\nnetwork.mtu = 900", "groups.a", "given twice"),
        ("[groups.a]\nprofile = 'none.xml'", "groups.a.profile", "cannot be read"),
        ("[vpn]\nprofile = 'ocsentry.toml'", "vpn.profile", "not an XML document"),
        ("[groups.a]\nexpires_at = '2030-01-01'", "groups.a.expires_at", "with its zone"),
        ("[groups.a]\nschedule = [{days = ['monday']}]", "groups.a.schedule.days", "mon"),
        ("[groups.a]\nipv4_pool = '192.168.99.128/25'", "(whole file)", "overlaps with 192.168.99.0/24 of vpn.network"),
        (
            "[groups.a]\nipv4_pool = '10.1.0.0/16'\n[groups.b]\nipv4_pool = '10.1.2.0/24'",
            "(whole file)",
            "b.network.ipv4_pool: 10.1.2.0/24 overlaps with 10.1.0.0/16 of groups.a",
        ),
        ("[groups.'a/b']\nmtu = 900", "groups.a/b.[key]", "pattern"),
        ("[auth]\nmethods = ['carrier-pigeon']", "auth.methods", "password"),
        ("[auth]\nmethods = []", "auth.methods", "no method to log in with"),
        ("[auth]\nmethods = ['password', 'password']", "auth.methods", "named twice"),
        ("[auth]\nrequire = ['password']", "auth.require", "one of auth.methods already"),
        ("[auth]\nrequire = ['carrier-pigeon']", "auth.require", "password"),
        ("[groups.a.auth]\nmethods = ['carrier-pigeon']", "groups.a.auth.methods", "password"),
        ("[groups.a.auth]\nmethods = []", "(whole file)", "groups.a.auth: there is no method to log in with"),
        ("[groups.a.auth]\nrequire = ['password']", "(whole file)", "groups.a.auth: password is one of auth.methods"),
        ("[groups.a.auth]\nrequire = ['radius']", "(whole file)", "password and radius would take one user name"),
        ("[groups.a.auth]\nmethods = ['radius']", "(whole file)", "groups.a.auth: the method radius needs"),
        ("[groups.a.auth]\nrequire = ['certificate']", "(whole file)", "groups.a.auth: auth.certificate.ca: name"),
        ("[groups.a.auth]\nbanner = 'x'", "groups.a.auth.banner", "unknown key"),
        ("[policy]\nrules = 'rules'", "policy.rules", "list"),
        ("[policy]\nkernel = 'xdp'", "policy.kernel", "no XDP program"),
        ("[policy]\nnever_block = ['10.0.0.1/8']", "policy.never_block", "host bits"),
        ("[policy]\ndefault = 'maybe'", "policy.default", "accept"),
        ("[admin]\nlisten = '0.0.0.0:8443'", "admin", "plain HTTP"),
        ("[admin]\ncertificate = 'a.crt'", "admin", "set both"),
        ("[store]\nurl = 'mysql://x'", "store", "sqlite:///"),
        ("[log]\nlevel = 'loud'", "log.level", "debug"),
        ("[logs]\nlevel = 'info'", "logs", "unknown key"),
        ("vpn = 3", "vpn", "dictionary"),
    ],
)
def test_errors_name_the_key(tmp_path, text, key, reason):
    problems = problems_of(tmp_path, text)
    assert len(problems) == 1
    name, _, said = problems[0].partition(": ")
    assert name == key
    assert reason in said


def test_every_problem_is_reported_at_once(tmp_path):
    problems = problems_of(tmp_path, "[vpn]\ndtls = 3\nfoo = 1\n[log]\nlevel = 'x'")
    assert [problem.partition(": ")[0] for problem in problems] == ["vpn.dtls", "vpn.foo", "log.level"]


def test_malformed_toml_is_reported_with_its_location(tmp_path):
    assert "line 2" in problems_of(tmp_path, "[vpn]\nlisten = ,\n")[0]


def test_a_secret_in_the_store_url_is_not_shown(tmp_path):
    loaded = load_config(write(tmp_path, "[store]\nurl = 'postgresql+psycopg://me:hunter2@db/x'"))
    assert "hunter2" not in repr(loaded)
    assert loaded.store_url.endswith("hunter2@db/x")


def test_an_unreadable_file_is_an_error_of_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file"):
        load_config(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_the_search_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OCSENTRY_CONFIG", raising=False)
    monkeypatch.setattr(
        "ocsentry.configuration.model.DEFAULT_LOCATIONS", (Path("ocsentry.toml"), tmp_path / "etc.toml")
    )
    with pytest.raises(ConfigError, match="ocsentry init"):
        find_config()
    (tmp_path / "etc.toml").touch()
    assert find_config() == tmp_path / "etc.toml"
    (tmp_path / "ocsentry.toml").touch()
    assert find_config() == Path("ocsentry.toml")
    monkeypatch.setenv("OCSENTRY_CONFIG", "/from/environment")
    assert find_config() == Path("/from/environment")
    assert find_config(Path("/explicit")) == Path("/explicit")


@pytest.mark.parametrize("name", PAGES)
def test_the_rendered_pages_are_fresh(name):
    page = (ROOT / "docs" / name).read_text()
    assert render_page(page, PAGES[name]()) == page, "run python -m ocsentry.configuration.rendered_docs"


def test_every_key_is_described():
    def walk(model, prefix=""):
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
                yield from walk(field.annotation, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", field.description

    assert [key for key, description in walk(Config) if not description] == []


def test_the_example_in_the_docs_is_valid(tmp_path):
    page = (ROOT / "docs" / "configuration.md").read_text()
    example = page.rpartition("```toml\n")[2].partition("```")[0]
    assert tomllib.loads(example)
    load_config(write(tmp_path, example))


def test_a_group_takes_what_it_does_not_set_from_auth(tmp_path):
    (tmp_path / "ocsentry.toml").write_text(
        "[auth]\nrequire = ['totp']\n[auth.certificate]\nca = 'ca.pem'\n"
        "[groups.vault.auth]\nmethods = ['certificate']\n[groups.guests.auth]\nrequire = []\n[groups.staff]\nmtu = 1300"
    )
    auth = load_config(tmp_path / "ocsentry.toml").vpn.auth
    assert auth.group_rules == {
        "vault": LoginRules(("certificate",), ("totp",)),
        "guests": LoginRules(("password",), ()),
    }
