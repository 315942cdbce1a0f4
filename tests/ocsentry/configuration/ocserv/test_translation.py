# SPDX-License-Identifier: GPL-3.0-or-later
"""What several keys say together, what other files add, and how a file is loaded as a whole."""

import json
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from ocsentry.configuration.model import ConfigError
from ocsentry.configuration.ocserv import methods
from ocsentry.configuration.ocserv.loading import load_ocserv, state_folder, write_state
from ocsentry.configuration.ocserv.target import Outcome
from sentry_engine import Engine, Policy
from tests.ocsentry.configuration.ocserv.conftest import render

USERS = "alice:staff,sales:$5$salt$hash\nbob:*:$5$salt$hash\ncarol:sales:!$5$salt$hash\n"


def test_netmask_and_prefix_stand_apart(translated):
    network = translated(
        {"ipv4-network": "10.7.0.0", "ipv4-netmask": "255.255.0.0", "ipv6-network": "fd00:7::", "ipv6-prefix": "64"}
    ).document["vpn"]["network"]
    assert (network["ipv4_pool"], network["ipv6_pool"]) == ("10.7.0.0/16", "fd00:7::/64")


def test_groups_of_the_password_file_are_offered(translated, tmp_path):
    (tmp_path / "users").write_text(USERS)
    assert translated({"auto-select-group": "true"}).document["auth"]["groups"] == ["sales", "staff"]


def test_groups_of_the_system_are_offered_to_pam(translated):
    found = translated({"auth": "pam[gid-min=1000]", "auto-select-group": "true"})
    assert found.document["auth"]["groups"] == ["staff"]


def test_a_group_whose_name_no_client_can_send_is_left_out_with_a_warning(translated):
    found = translated({"select-group": ["short", "x" * 63, "y" * 64 + "[Too long]"]})
    assert found.document["auth"]["groups"] == ["short", "x" * 63]
    assert "groups" not in found.document
    [note] = [note for note in found.notes if note.key == "select-group"]
    assert note.outcome is Outcome.DIFFERS
    assert "exceeds the maximum supported group name length" in note.text


def test_certificates_have_no_groups_to_offer(translated):
    found = translated({"auth": "certificate", "auto-select-group": "true"})
    assert [note.key for note in found.refusals] == ["auto-select-group"]


def test_authorities_belong_to_the_method(translated):
    given = {"ca-cert": "/etc/ca.pem", "crl": "/etc/crl.pem"}
    assert "certificate" not in translated(given).document["auth"]
    found = translated({"auth": "certificate", **given}).document["auth"]["certificate"]
    assert found == {"ca": "/etc/ca.pem", "crl": "/etc/crl.pem", "crl_check": "listed"}


def test_the_socket_of_occtl(translated, tmp_path):
    assert translated({}).occtl_socket is None
    assert translated({"use-dbus": "true"}).occtl_socket == Path("/var/run/occtl.socket")
    assert translated({"use-occtl": "true", "use-dbus": "no"}).occtl_socket is not None
    assert translated({"use-occtl": "true", "occtl-socket-file": ""}).occtl_socket == Path("/var/run/occtl.socket")
    named = {"use-occtl": "true", "occtl-socket-file": "./occtl.socket"}
    assert translated(named).occtl_socket == tmp_path / "occtl.socket"


def test_the_pid_file(translated, tmp_path):
    assert translated({}).pid_file is None
    assert translated({"pid-file": "/run/o.pid"}).pid_file == "/run/o.pid"


def test_ban_points_become_rules(translated):
    found = translated({"max-ban-score": "50", "ban-time": "20", "ban-reset-time": "10"})
    failures, connections = json.loads(found.files["rules/ocserv.json"])["wolfsentry"]["rules"]
    assert (failures["max_failures"], failures["window_sec"], failures["penalty_duration_sec"]) == (4, 10, 20)
    assert (connections["max_connections"], connections["window_sec"]) == (49, 10)
    assert json.loads(translated({"max-ban-score": "0"}).files["rules/ocserv.json"])["wolfsentry"]["rules"] == []


@pytest.mark.parametrize("score", ["0", "80"])
@pytest.mark.parametrize("wrong", ["0", "10"])
@pytest.mark.parametrize("connection", ["0", "1"])
@pytest.mark.parametrize("pause", ["0", "100"])
def test_every_combination_of_points_is_a_policy(translated, tmp_path, score, wrong, connection, pause):
    """ocserv's own sample sets rate-limit-ms and max-ban-score together."""
    given = {"max-ban-score": score, "ban-points-wrong-password": wrong, "ban-points-connection": connection}
    found = translated({**given, "rate-limit-ms": pause})
    (tmp_path / "ocserv.json").write_bytes(found.files["rules/ocserv.json"])
    Policy.load(str(tmp_path / "ocserv.json"))  # as the server does at its start
    names = {rule["id"] for rule in json.loads(found.files["rules/ocserv.json"])["wolfsentry"]["rules"]}
    banned = {"ocserv_connections"} if score != "0" and connection != "0" else set()
    paused = {"ocserv_rate_limit"} if pause != "0" and not banned else set()
    assert names - {"ocserv_failed_logins"} == banned | paused


def test_the_rules_of_bans_ban(translated, tmp_path):
    """As ocserv with these points: the fifth wrong password bans for 20 seconds, and four are forgotten after 10."""
    found = translated({"max-ban-score": "50", "ban-time": "20", "ban-reset-time": "10"})
    (tmp_path / "ocserv.json").write_bytes(found.files["rules/ocserv.json"])
    with Engine(Policy.load(str(tmp_path / "ocserv.json"))) as engine:
        for moment in (0, 1, 2, 3):
            assert engine.decide("auth_failure", "198.51.100.1", now=moment).action == "accept"
            assert engine.decide("auth_failure", "198.51.100.2", now=moment).action == "accept"
        engine.decide("auth_failure", "198.51.100.1", now=4)
        assert engine.decide("connect", "198.51.100.1", now=5).action == "rate_limited"
        assert engine.decide("connect", "198.51.100.1", now=25).action == "accept"
        assert engine.decide("auth_failure", "198.51.100.2", now=15).action == "accept"
        assert engine.decide("connect", "198.51.100.2", now=16).action == "accept"


def test_radcli_names_servers_and_secrets(translated, tmp_path):
    (tmp_path / "radius.conf").write_text(
        "# radcli\nauthserver 192.0.2.1:1645,[2001:db8::1]\nacctserver 192.0.2.9\nservers secrets\n"
        "radius_timeout 10\nradius_retries 3\nradius_deadtime 5\nbindaddr *\ndictionary x\n"
    )
    (tmp_path / "secrets").write_text("192.0.2.1 one\n2001:db8::1/gate.example two\n")
    auth = "radius[config=radius.conf,groupconfig=true,nas-identifier=gate,default_realm=x.example]"
    found = translated({"auth": auth, "acct": "radius[config=radius.conf]", "auth-timeout": "40"})
    radius = found.document["auth"]["radius"]
    assert [(one["address"], one["accounting"]) for one in radius["servers"]] == [
        ("192.0.2.1:1645", "192.0.2.9:1813"),
        ("[2001:db8::1]:1812", "[2001:db8::1]:1813"),
    ]
    assert found.files["radius-1.secret"] == b"two\n"
    assert (radius["timeout"], radius["retries"], radius["group_config"]) == (19, 3, True)
    assert (radius["nas_identifier"], radius["default_realm"], radius["dead_time"]) == ("gate", "x.example", 5)
    assert found.document["accounting"]["radius"] is True
    assert found.document["vpn"]["addresses_within"] == ["0.0.0.0/0", "::/0"], "it may push any address"
    assert any("bindaddr" in note.text for note in found.notes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("authserver 192.0.2.1", "has no secret"),
        ("servers secrets", "names no server"),
        ("authserver 192.0.2.1:x:y", "the port of server 192.0.2.1 is not one"),
        ("authserver 192.0.2.1::y\nradius_timeout soon", "'soon' is not a number"),
        ("authserver nowhere.example::y", "has no address"),
        ("authserver 192.0.2.1\nservers gone", "cannot be read"),
    ],
)
def test_an_unusable_radcli_file_is_refused(translated, tmp_path, text, reason):
    (tmp_path / "radius.conf").write_text(text + "\n")
    (tmp_path / "secrets").write_text("")
    found = translated({"auth": "radius[config=radius.conf]"})
    assert [reason in note.text for note in found.refusals] == [True]


def test_methods_that_cannot_be_had_together(translated):
    found = translated({"auth": ["certificate", "plain[/p]"], "enable-auth": "pam"})
    assert ["cannot be had" in note.text for note in found.refusals] == [True]


def test_a_key_that_is_set_twice_is_told(translated):
    notes = translated({"dpd": ["60", "90"]}).notes
    assert [note.text for note in notes if note.key == "dpd"] == ["line 9 sets it again; the last one counts"]


def test_certificates_are_paired_by_their_sequence(translated):
    vpn = translated({"server-cert": ["/a.pem", "/b.pem"], "server-key": ["/a.key", "/b.key"]}).document["vpn"]
    assert (vpn["certificate"], vpn["private_key"]) == ("/a.pem", "/a.key")
    assert vpn["certificates"] == [{"certificate": "/b.pem", "private_key": "/b.key"}]
    odd = translated({"server-cert": ["/a.pem", "/b.pem"], "server-key": "/a.key"})
    assert ["2 of server-cert and 1 of server-key" in note.text for note in odd.refusals] == [True]


def test_a_virtual_host_has_what_stands_above_it_and_its_own(translated):
    found = translated(
        {"dpd": "50", "route": "10.0.0.0/8", "banner": "Server"},
        "[vhost:A.example]\nauth = certificate\nca-cert = /ca.pem\nserver-cert = /a.pem\nserver-key = /a.key\n"
        "route = 10.9.0.0/16\nipv4-network = 198.51.100.0/24\nmax-same-clients = 1\nselect-group = staff\n"
        "[vhost:b.example]\nbanner = Host\n",
    )
    assert found.refusals == ()
    assert found.document["vpn"]["host"] == [
        {
            "name": "a.example",
            "certificates": [{"certificate": "/a.pem", "private_key": "/a.key"}],
            "groups": ["staff"],
            "auth": {"methods": ["certificate"], "certificate_ca": "/ca.pem"},
            "network": {"routes": ["10.0.0.0/8", "10.9.0.0/16"], "ipv4_pool": "198.51.100.0/24"},
            "limits": {"max_same_clients": 1},
        },
        {"name": "b.example", "auth": {"banner": "Host"}},
    ]
    assert found.document["auth"]["methods"] == ["password"]


def test_what_stands_below_a_section_is_not_inherited(translated):
    """The parser goes back to the server's own keys by no means; a value is the host's if the server lacks it."""
    found = translated({}, "[vhost:a.example]\nbanner = x\ndpd = 7\n")
    assert found.document["vpn"]["host"][0]["session"] == {"dpd": 7}
    assert "dpd" not in found.document["vpn"].get("session", {})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tcp-port = 444", "it belongs to the server"),
        ("auth = gssapi[keytab=/k]", "auth.gssapi.keytab is of the whole server"),
        ("pre-login-banner = x", "auth.pre_login_banner is of the whole server"),
        ("route = nonsense", "is not a network"),
    ],
)
def test_what_a_virtual_host_cannot_have_is_refused(translated, line, words):
    found = translated({}, f"[vhost:a.example]\nbanner = x\n{line}\n")
    assert [(note.line, words in note.text) for note in found.refusals] == [(10, True)]


def test_a_host_may_go_without_dtls(translated):
    found = translated({"udp-port": "443"}, "[vhost:a.example]\nno-udp = true\n")
    assert found.document["vpn"]["host"] == [{"name": "a.example", "session": {"dtls": False}}]
    assert found.document["vpn"]["dtls"] is True


def test_a_host_has_its_own_files_of_users(translated):
    found = translated(
        {},
        "[vhost:a.example]\nauth = plain[passwd=/other,otp=/codes]\nconfig-per-user = /u\ndefault-group-config = /g\n"
        "[vhost:b.example]\nauth = plain[passwd=/third]\nconfig-per-group = /groups\n",
    )
    assert found.refusals == ()
    assert found.document["vpn"]["host"] == [
        {
            "name": "a.example",
            "auth": {"require": ["totp"], "ocpasswd_file": "/other", "oath_file": "/codes"},
            "user_config_dir": "/u",
            "default_group_config": "/g",
        },
        {"name": "b.example", "auth": {"ocpasswd_file": "/third"}, "group_config_dir": "/groups"},
    ]
    assert found.document["auth"]["totp"]["required"] == "all"
    assert "require" not in found.document["auth"]


PROVIDER = {
    "openid_configuration_url": "https://idp.example/.well-known/openid-configuration",
    "user_name_claim": "preferred_username",
    "required_claims": {"aud": "vpn", "iss": "https://idp.example"},
    "minimum_jwk_refresh_time": 900,
}


def test_bearer_tokens_are_those_of_the_provider_s_file(translated, tmp_path):
    (tmp_path / "oidc.json").write_text(json.dumps(PROVIDER))
    found = translated({"auth": "oidc[config=oidc.json]"})
    assert found.document["auth"]["methods"] == ["bearer"]
    assert found.document["auth"]["bearer"] == {
        "configuration_url": PROVIDER["openid_configuration_url"],
        "audience": "vpn",
        "user_claim": "preferred_username",
        "require_times": True,
        "required_claims": {"iss": "https://idp.example"},
    }
    assert any("minimum_jwk_refresh_time" in note.text for note in found.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"required_claims": {"iss": "x"}}, "name aud in required_claims"),
        ({"required_claims": {}}, "required_claims is missing"),
        ({"user_name_claim": None}, "user_name_claim is missing"),
        ({"openid_configuration_url": "file://elsewhere/etc/keys"}, "no https:// or file:// URL"),
        ({"openid_configuration_url": "http://idp.example/keys"}, "no https:// or file:// URL"),
    ],
)
def test_a_provider_s_file_that_lets_too_many_in_is_refused(translated, tmp_path, change, words):
    (tmp_path / "oidc.json").write_text(json.dumps({**PROVIDER, **change}))
    refusals = translated({"auth": "oidc[config=oidc.json]"}).refusals
    assert [words in note.text for note in refusals] == [True]


def test_a_host_has_its_own_service_of_pam(translated):
    found = translated(
        {"auth": "pam[gid-min=500]"},
        "[vhost:a.example]\nauth = pam[service=staff,gid-min=100]\n"
        "[vhost:b.example]\nauth = plain[passwd=/other]\n[vhost:c.example]\nauth = pam[gid-min=500]\n",
    )
    assert found.refusals == ()
    assert found.document["auth"]["pam"] == {"service": "ocserv", "gid_min": 500}
    assert [host.get("auth") for host in found.document["vpn"]["host"]] == [
        {"pam_service": "staff", "pam_gid_min": 100},
        {"methods": ["password"], "ocpasswd_file": "/other"},
        None,
    ]


def test_camouflage_has_its_secret_and_realm(translated):
    given = {"camouflage_secret": "s3cret", "camouflage_realm": "Restricted"}
    assert "camouflage" not in translated(given).document["vpn"]
    found = translated({"camouflage": "true", **given})
    assert found.document["vpn"]["camouflage"] == {"secret": "s3cret", "realm": "Restricted"}


def test_an_encrypted_key_needs_its_password(translated, tmp_path):
    key = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
    (tmp_path / "key.pem").write_text(key)
    assert ["by key-pin or pin-file" in note.text for note in translated({}).refusals] == [True]
    by_file = translated({"pin-file": "/etc/pin"})
    assert by_file.document["vpn"]["private_key_password_file"] == "/etc/pin"
    by_pin = translated({"key-pin": "1234", "pin-file": "/etc/pin"})
    place = Path(by_pin.document["vpn"]["private_key_password_file"])
    assert (place.parent, by_pin.files[place.name]) == (tmp_path / "state", b"1234\n")
    host = translated({}, "[vhost:a.example]\nserver-cert = /a.pem\nserver-key = key.pem\nkey-pin = 5678\n")
    assert [note.key for note in host.refusals] == ["server-key"]  # of the server itself
    (pair,) = host.document["vpn"]["host"][0]["certificates"]
    assert host.files[Path(pair["password_file"]).name] == b"5678\n"
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    assert "private_key_password_file" not in translated({"key-pin": "1234"}).document["vpn"]


# -- whole files


@pytest.fixture
def write(tmp_path):
    def write_file(settings, more=""):
        path = tmp_path / "ocserv.conf"
        path.write_text(render(settings) + more)
        return path

    return write_file


def test_a_file_is_the_same_configuration_as_toml(write, tmp_path):
    loaded = load_ocserv(write({"dpd": "77", "route": "10.0.0.0/8"}), tmp_path / "state")
    vpn = loaded.config.vpn
    assert (vpn.session.dpd, vpn.network.routes) == (77, (IPv4Network("10.0.0.0/8"),))
    assert vpn.certificate == tmp_path / "cert.pem"
    assert vpn.auth.ocpasswd_file == tmp_path / "users"
    assert loaded.config.store_url == f"sqlite:///{tmp_path}/state/ocsentry.db"
    assert loaded.config.values.admin.socket == tmp_path / "state" / "admin.sock"
    assert loaded.config.values.admin.listen is None


def test_a_file_can_be_read_again(write, tmp_path):
    config = load_ocserv(write({"dpd": "77"}), tmp_path / "state").config
    write({"dpd": "78"})
    assert config.read_again().vpn.session.dpd == 78


def test_a_reload_reads_what_the_start_has_read(write, tmp_path):
    (tmp_path / "key.pem").touch()
    (tmp_path / "users").write_text(USERS)
    (tmp_path / "profile.xml").write_text("<AnyConnectProfile/>")
    given = {"auto-select-group": "true", "user-profile": "profile.xml"}
    loaded = load_ocserv(write(given), tmp_path / "state")
    assert loaded.config.reads == (tmp_path / "users", tmp_path / "profile.xml")


@pytest.mark.parametrize(
    ("settings", "more", "words"),
    [
        ({}, "nonsense\n", ":8: nonsense is not KEY = VALUE"),
        ({"mtu": "1400", "rekey-method": "never"}, "", ":9: rekey-method: input should be 'ssl' or 'new-tunnel'"),
        ({"device": "a-very-long-device"}, "", ":4: device: "),
        ({"default-domain": "no domain!"}, "", ":8: default-domain: "),
        ({"user-profile": "/does/not/exist"}, "", ":8: user-profile: /does/not/exist cannot be read"),
    ],
    ids=["syntax", "choice", "name", "domain", "file"],
)
def test_an_error_names_file_line_and_key(write, tmp_path, settings, more, words):
    path = write(settings, more)
    with pytest.raises(ConfigError) as refused:
        load_ocserv(path, tmp_path / "state")
    assert f"{path}{words}" in str(refused.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_ocserv(tmp_path / "gone.conf", tmp_path)


def test_the_state_folder_gets_the_generated_files(write, tmp_path):
    loaded = load_ocserv(write({}), tmp_path / "state")
    assert not (tmp_path / "state").exists()
    write_state(loaded)
    write_state(loaded)
    assert [path.name for path in (tmp_path / "state" / "rules").iterdir()] == ["ocserv.json"]


def test_two_files_have_two_folders(tmp_path, monkeypatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert state_folder(tmp_path / "a" / "ocserv.conf") != state_folder(tmp_path / "b" / "ocserv.conf")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/x:/var/lib/y")
    assert state_folder(tmp_path / "ocserv.conf") == Path("/var/lib/x")


def test_relative_paths_are_looked_for_beside_the_file_first(translated, tmp_path):
    (tmp_path / "users").write_text(USERS)
    assert translated({}).document["auth"]["ocpasswd_file"] == str(tmp_path / "users")
    assert [note.outcome for note in translated({}).notes if note.key == "auth"] == []


def test_files_inside_the_chroot_are_found(translated, tmp_path):
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "root" / "etc" / "profile.xml").touch()
    found = translated({"chroot-dir": f"{tmp_path}/root", "user-profile": "/etc/profile.xml"})
    assert found.document["vpn"]["profile"] == f"{tmp_path}/root/etc/profile.xml"
    assert {note.outcome for note in found.notes} == {Outcome.IGNORED}


@pytest.mark.parametrize(
    ("given", "journal", "facility"),
    [({}, False, "daemon"), ({}, True, ""), ({"syslog-facility": "auth"}, True, "auth")],
    ids=["elsewhere", "journal", "named"],
)
def test_lines_go_to_syslog_where_they_might_be_lost(write, tmp_path, monkeypatch, given, journal, facility):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    if journal:
        monkeypatch.setenv("JOURNAL_STREAM", "8:1234")
    assert load_ocserv(write(given), tmp_path / "state").config.values.log.syslog == facility


@pytest.mark.parametrize(
    ("conf", "keytab"),
    [
        ("[libdefaults]\n default_keytab_name = FILE:/etc/our keytab\n", "/etc/our keytab"),
        ("[libdefaults]\ndefault_keytab_name=/etc/first\ndefault_keytab_name=/etc/second\n", "/etc/first"),
        ("[realms]\ndefault_keytab_name = /etc/other\n", "/etc/krb5.keytab"),
        ("[libdefaults]\n# default_keytab_name = /etc/other\ndefault_keytab_name = DIR:/etc/x\n", "/etc/krb5.keytab"),
        ("\udcff[libdefaults]", "/etc/krb5.keytab"),
        (None, "/etc/krb5.keytab"),
    ],
)
def test_without_a_name_the_keytab_is_the_system_s(translated, tmp_path, monkeypatch, conf, keytab):
    monkeypatch.setattr(methods, "KRB5_CONF", tmp_path / "krb5.conf")
    if conf is not None:
        (tmp_path / "krb5.conf").write_bytes(conf.encode(errors="surrogateescape"))
    found = translated({"auth": "gssapi"})
    assert found.document["auth"]["gssapi"]["keytab"] == keytab
