# SPDX-License-Identifier: GPL-3.0-or-later
"""Every key of ocserv: what it becomes, or why not. Each row of the table has at least one case that names its key."""

from pathlib import Path

import pytest

from ocsentry.configuration.ocserv.table import ALIASES, BY_KEY, ROWS, USER_FILE_KEYS
from ocsentry.configuration.ocserv.target import Outcome

KEYS = frozenset((Path(__file__).parent / "keys.txt").read_text().split())

# key, value, key of the TOML file, its value
MAPPED = [
    ("auth", "plain[passwd=/etc/p]", "auth.methods", ["password"]),
    ("auth", "plain[/etc/p]", "auth.ocpasswd_file", "/etc/p"),
    ("auth", "plain[passwd=/etc/p,otp=/etc/o]", "auth.oath_file", "/etc/o"),
    ("auth", "gssapi[keytab=/k,tgt-freshness-time=900]", "auth.gssapi", {"keytab": "/k", "max_ticket_age": 900}),
    ("auth", "pam[gid-min=1000]", "auth.pam", {"service": "ocserv", "gid_min": 1000}),
    ("auth", ["certificate", "plain[passwd=/etc/p]"], "auth.require", ["certificate"]),
    ("auth", ["certificate", "plain[passwd=/etc/p]"], "auth.methods", ["password"]),
    ("enable-auth", "certificate", "auth.methods", ["password", "certificate"]),
    ("ca-cert", "/etc/ca.pem", "auth.certificate", None),
    ("cert-user-oid", "0.9.2342.19200300.100.1.1", "auth.certificate.user_field", "0.9.2342.19200300.100.1.1"),
    ("cert-user-oid", "SAN(rfc822name)", "auth.certificate.user_field", "san:email"),
    ("cert-group-oid", "2.5.4.11", "auth.certificate.group_field", "2.5.4.11"),
    ("cert-group-oid", "2.5.4.11", "auth.certificate.ask_group", True),
    ("auth-timeout", "40", "auth.timeout", 40),
    ("banner", '"Welcome"', "auth.banner", "Welcome"),
    ("pre-login-banner", "Hello", "auth.pre_login_banner", "Hello"),
    ("select-group", ["a[The A]", "b"], "auth.groups", ["a", "b"]),
    ("select-group", ["a[The A]", "b"], "groups", {"a": {"label": "The A"}}),
    ("select-group-by-url", "true", "auth.groups", None),
    ("default-select-group", "none", "auth.no_group_label", "none"),
    ("listen-host", "192.0.2.1", "vpn.listen", ["192.0.2.1:443"]),
    ("listen-host", "[2001:db8::1]", "vpn.listen", ["[2001:db8::1]:443"]),
    ("listen-host", "*", "vpn.listen", ["*:443"]),
    ("udp-listen-host", "192.0.2.2", "vpn.dtls_listen", ["192.0.2.2:443"]),
    ("listen-netns", "outside", "vpn.listen_netns", "outside"),
    ("tcp-port", "4443", "vpn.listen", ["*:4443"]),
    ("udp-port", "4443", "vpn.dtls_listen", ["*:4443"]),
    ("udp-port", "0", "vpn.dtls", False),
    ("udp-port", None, "vpn.dtls", False),
    ("no-udp", "true", "vpn.dtls", False),
    ("log-level", "1", "log.level", "warning"),
    ("log-level", "2", "log.level", "info"),
    ("log-level", "9", "log.level", "debug"),
    ("device", "vpns", "vpn.network.device", "vpns0"),
    ("ipv4-network", "192.168.1.0/24", "vpn.network.ipv4_pool", "192.168.1.0/24"),
    ("ipv6-network", "fd00:7::/112", "vpn.network.ipv6_pool", "fd00:7::/112"),
    ("dns", ["192.0.2.1", "2001:db8::1"], "vpn.network.dns", ["192.0.2.1", "2001:db8::1"]),
    ("ipv4-dns", "192.0.2.1", "vpn.network.dns", ["192.0.2.1"]),
    ("ipv6-dns", "2001:db8::1", "vpn.network.dns", ["2001:db8::1"]),
    ("nbns", "192.0.2.1", "vpn.network.nbns", ["192.0.2.1"]),
    ("ipv4-nbns", "192.0.2.1", "vpn.network.nbns", ["192.0.2.1"]),
    ("default-domain", "a.example b.example", "vpn.network.default_domain", "a.example b.example"),
    ("split-dns", ["a.example", "b.example"], "vpn.network.split_dns", ["a.example", "b.example"]),
    ("tunnel-all-dns", "true", "vpn.network.tunnel_all_dns", True),
    ("route", ["10.0.0.0/255.0.0.0", "192.0.2.7"], "vpn.network.routes", ["10.0.0.0/8", "192.0.2.7/32"]),
    ("route", ["10.0.0.0/8", "default"], "vpn.network.routes", []),
    ("append-routes", "true", "vpn.network.append_routes", True),
    ("expose-iroutes", "true", "vpn.network.expose_iroutes", True),
    ("no-route", "10.1.0.0/16", "vpn.network.no_routes", ["10.1.0.0/16"]),
    ("restrict-user-to-routes", "true", "vpn.network.restrict_to_routes", True),
    ("restrict-user-to-ports", "tcp(443), icmp()", "vpn.network.restrict_to_ports", ["tcp/443", "icmp"]),
    ("restrict-user-to-ports", "tcp(443)", "vpn.network.restrict_to_routes", True),
    ("mtu", "1300", "vpn.network.mtu", 1300),
    ("mtu", "0", "vpn.network.mtu", 1400),
    ("proxy-url", "http://x.example/p.pac", "vpn.network.proxy_pac_url", "http://x.example/p.pac"),
    ("proxy-url", "http://x/%{U}.pac", "vpn.network.proxy_pac_url", "http://x/%{U}.pac"),
    ("custom-header", ["X-A: 1 2", "x-b:3"], "vpn.extra_headers", ["X-A: 1 2", "x-b: 3"]),
    ("included-http-headers", "X-A: 1", "vpn.http_headers", ["X-A: 1"]),
    ("rx-data-per-sec", "40000", "vpn.bandwidth.from_client", 40000),
    ("tx-data-per-sec", "40000", "vpn.bandwidth.to_client", 40000),
    ("max-clients", "16", "vpn.limits.max_clients", 16),
    ("max-clients", "0", "vpn.limits.max_clients", 65536),
    ("max-same-clients", "2", "vpn.limits.max_same_clients", 2),
    ("max-same-clients", None, "vpn.limits.max_same_clients", 0),
    ("cookie-timeout", "30", "vpn.session.cookie_timeout", 30),
    ("deny-roaming", "true", "vpn.session.deny_roaming", True),
    ("idle-timeout", "1200", "vpn.session.idle_timeout", 1200),
    ("mobile-idle-timeout", "1800", "vpn.session.mobile_idle_timeout", 1800),
    ("session-timeout", "86400", "vpn.session.session_timeout", 86400),
    ("keepalive", "300", "vpn.session.keepalive", 300),
    ("dpd", "60", "vpn.session.dpd", 60),
    ("mobile-dpd", "900", "vpn.session.mobile_dpd", 900),
    ("mobile-dpd", "0", "vpn.session.mobile_dpd", 90),
    ("rekey-time", "3600", "vpn.session.rekey_time", 3600),
    ("rekey-method", "new-tunnel", "vpn.session.rekey_method", "new-tunnel"),
    ("stats-report-time", "60", "accounting.interim", 60),
    ("dtls-legacy", "false", "vpn.dtls_modes", ["certificate", "psk"]),
    ("dtls-psk", "false", "vpn.dtls_modes", ["certificate", "resumption"]),
    ("dtls-psk", "true", "vpn.dtls_modes", None),
    ("acct", "pam", "accounting.pam", True),
    ("acct", "pam", "accounting.pam_service", "ocserv"),
    ("acct", "pam[service=vpn]", "accounting.pam_service", "vpn"),
    ("config-per-user", "/etc/u", "vpn.user_config_dir", "/etc/u"),
    ("config-per-user", "/etc/u", "vpn.addresses_within", ["0.0.0.0/0", "::/0"]),
    ("config-per-group", "/etc/g", "vpn.group_config_dir", "/etc/g"),
    ("default-user-config", "/etc/du", "vpn.default_user_config", "/etc/du"),
    ("default-group-config", "/etc/dg", "vpn.default_group_config", "/etc/dg"),
    ("user-profile", "/etc/profile.xml", "vpn.profile", "/etc/profile.xml"),
    ("server-cert", "/etc/c.pem", "vpn.certificate", "/etc/c.pem"),
    ("server-key", "/etc/k.pem", "vpn.private_key", "/etc/k.pem"),
    ("always-require-cert", "true", "auth.certificate.at_connect", None),
    ("cisco-client-compat", "false", "auth.certificate.at_connect", None),
    ("listen-proxy-proto", "false", "vpn.proxy_from", None),
    ("connect-script", "/etc/hook", "vpn.hooks.connect", ["/etc/hook"]),
    ("disconnect-script", "/etc/hook", "vpn.hooks.disconnect", ["/etc/hook"]),
    ("host-update-script", "/etc/hook", "vpn.hooks.host_update", ["/etc/hook"]),
    ("route-add-cmd", '"/bin/echo %{R} dev %{D}"', "vpn.hooks.route_add", ["/bin/echo", "%{R}", "dev", "%{D}"]),
    ("route-del-cmd", "/bin/echo 'a b' %R", "vpn.hooks.route_del", ["/bin/echo", "a b", "%R"]),
    ("cisco-svc-client-compat", "true", "vpn.ip_phones", True),
    ("syslog-facility", "AUTH", "log.syslog", "auth"),
    ("syslog-facility", "local3", "log.syslog_format", "ocserv"),
    ("server-drain-ms", "1500", "vpn.drain", 2),
    ("server-drain-ms", "1500", "vpn.drain_at_least", 2),
    ("client-bypass-protocol", "true", "vpn.network.client_bypass_protocol", True),
    ("ocsp-response", "/etc/ocsp.der", "vpn.ocsp_response", "/etc/ocsp.der"),
    (
        "kkdcp",
        ["/KdcProxy A.ORG tcp@192.0.2.1:88", "/KdcProxy B.ORG tcp@[2001:db8::1]:88"],
        "vpn.kdc_proxy",
        [
            {"path": "/KdcProxy", "realm": "A.ORG", "server": "192.0.2.1:88"},
            {"path": "/KdcProxy", "realm": "B.ORG", "server": "[2001:db8::1]:88"},
        ],
    ),
    ("persistent-cookies", "true", "vpn.session.disconnect_grace", 300),
]  # fmt: skip
# key, value, outcome, words of the note
TOLD = [
    ("cisco-client-compat", "true", Outcome.DIFFERS, "TLS 1.3 stays on"),
    ("always-require-cert", "false", Outcome.DIFFERS, "TLS 1.3 stays on"),
    ("listen-host", "vpn.example.com", Outcome.DIFFERS, "looked up at the start only"),
    ("listen-host-is-dyndns", "true", Outcome.IGNORED, "looked up at the start only"),
    ("tls-priorities", "NORMAL:-CIPHER-ALL:%COMPAT", Outcome.DIFFERS, "-CIPHER-ALL"),
    ("mtu", "100", Outcome.DIFFERS, "the nearest"),
    ("dpd", "10s", Outcome.DIFFERS, "ocserv reads '10s' as 10"),
    ("tunnel-all-dns", "1", Outcome.DIFFERS, "ocserv reads '1' as off"),
    ("route", "10.0.0.1/8", Outcome.DIFFERS, "is read as 10.0.0.0/8"),
    ("ipv4-network", "192.168.1.9/24", Outcome.DIFFERS, "is read as 192.168.1.0/24"),
    ("ipv6-nbns", "2001:db8::1", Outcome.IGNORED, "IPv4 addresses only"),
    ("rx-data-per-sec", "1500", Outcome.DIFFERS, "ocserv reads 1500 as 1000"),
    ("compression", "true", Outcome.IGNORED, "nothing is compressed"),
    ("max-ban-score", "50", Outcome.DIFFERS, "ocserv_failed_logins: 4 in 1200 s"),
    ("ban-time", "20", Outcome.DIFFERS, "limits of each kind"),
    ("min-reauth-time", "20", Outcome.DIFFERS, "limits of each kind"),
    ("ban-reset-time", "10", Outcome.DIFFERS, "7 in 10 s"),
    ("ban-points-wrong-password", "20", Outcome.DIFFERS, "ocserv_failed_logins: 3 in"),
    ("ban-points-connection", "0", Outcome.DIFFERS, "(ocserv_failed_logins: 7 in 1200 s)"),
    ("rate-limit-ms", "100", Outcome.IGNORED, "are limited by max-ban-score"),
    ("server-cert", "pkcs11:x", Outcome.REFUSED, "write certificate and key to files"),
    ("ipv4-network", "192.168.1.0", Outcome.REFUSED, "a prefix is missing"),
    ("syslog-facility", "kern", Outcome.REFUSED, "is not one of daemon"),
    ("tcp-port", "0", Outcome.REFUSED, "clients log in over TCP"),
    ("tcp-port", "70000", Outcome.REFUSED, "70000 is not a port"),
    ("listen-host", "nowhere.example", Outcome.REFUSED, "has no address"),
    ("custom-header", "no header", Outcome.REFUSED, "is not Name: value"),
    ("custom-header", "Set-Cookie: a", Outcome.IGNORED, "the server itself sets set-cookie"),
    ("included-http-headers", [f"X-{n}: 1" for n in range(33)], Outcome.DIFFERS, "at most 32 headers"),
    ("ipv6-subnet-prefix", "124", Outcome.REFUSED, "one IPv6 address"),
    ("listen-proxy-proto", "true", Outcome.DIFFERS, "PROXY header"),
    ("listen-clear-file", "/x", Outcome.REFUSED, "have the proxy pass TLS on as it comes"),
    ("route-add-cmd", "/bin/echo %R > /tmp/x", Outcome.REFUSED, "no shell runs it, so '>' cannot be meant"),
    ("route-add-cmd", "IP=1 /bin/echo", Outcome.REFUSED, "write the line to a script"),
    ("route-add-cmd", "/bin/echo 'x", Outcome.REFUSED, "cannot be split into words"),
    ("route-del-cmd", "no-such-program %R", Outcome.REFUSED, "there is no program 'no-such-program'"),
    ("camouflage", "true", Outcome.REFUSED, "it needs camouflage_secret"),
    ("auth", "gssapi[tgt-freshness-time=15m]", Outcome.REFUSED, "not a number of seconds"),
    ("auth", "gssapi[require-local-user-map=false]", Outcome.DIFFERS, "auth.gssapi.realms"),
    ("kkdcp", "/KdcProxy A.ORG udp@192.0.2.1:88", Outcome.DIFFERS, "asked over TCP"),
    ("kkdcp", "/KdcProxy A.ORG", Outcome.REFUSED, "write PATH REALM"),
    ("kkdcp", "/KdcProxy A.ORG tcp@192.0.2.1", Outcome.REFUSED, "write PATH REALM"),
    ("kkdcp", "KdcProxy A.ORG tcp@192.0.2.1:88", Outcome.REFUSED, "write PATH REALM"),
    ("auth", "oidc[config=x]", Outcome.REFUSED, "cannot be read"),
    ("auth", "oidc", Outcome.REFUSED, "name the file of the provider"),
    ("auth", "plain", Outcome.REFUSED, "name the password file"),
    ("auth", "magic", Outcome.REFUSED, "no method 'magic'"),
    ("acct", "gssapi", Outcome.REFUSED, "to RADIUS or PAM"),
    ("dns", "local", Outcome.REFUSED, "not an address"),
    ("route", "nonsense", Outcome.REFUSED, "not a network"),
    ("restrict-user-to-ports", "gre()", Outcome.REFUSED, "is not tcp(PORT)"),
    ("auth", None, Outcome.REFUSED, "ocserv needs it"),
    ("device", None, Outcome.REFUSED, "ocserv needs it"),
    ("ipv4-network", None, Outcome.REFUSED, "no network for the clients"),
    ("cookie-validity", "3", Outcome.IGNORED, "ocserv knows no such key"),
]
WITHOUT_READER = [row.key for row in ROWS if row.read is None]
# Cases that need files are in test_translation.py.
ELSEWHERE = frozenset(
    {
        "camouflage_secret",
        "key-pin",
        "pin-file",
        "camouflage_realm",
        "acct",
        "auto-select-group",
        "crl",
        "ipv4-netmask",
        "ipv6-prefix",
        "occtl-socket-file",
        "use-occtl",
        "use-dbus",
        "pid-file",
    }
)


def value_of(document, key):
    place = document
    for part in key.split("."):
        place = place.get(part) if isinstance(place, dict) else None
    return place


def test_the_table_has_every_key_of_ocserv():
    assert KEYS - BY_KEY.keys() - ALIASES.keys() - USER_FILE_KEYS == set()
    assert len(BY_KEY) == len(ROWS)
    assert BY_KEY.keys() <= KEYS


def test_the_cases_elsewhere_are_there():
    text = (Path(__file__).parent / "test_translation.py").read_text()
    assert [key for key in sorted(ELSEWHERE) if f'"{key}"' not in text and f"{key} =" not in text] == []


def test_every_row_has_a_case():
    named = {ALIASES.get(key, key) for key, *_ in (*MAPPED, *TOLD)} | set(WITHOUT_READER) | ELSEWHERE
    assert BY_KEY.keys() - named == set()


@pytest.mark.parametrize(("key", "value", "target", "expected"), MAPPED, ids=lambda part: str(part)[:40])
def test_a_key_is_mapped(translated, key, value, target, expected):
    found = translated({key: value})
    assert [note.text for note in found.refusals] == []
    assert value_of(found.document, target) == expected


@pytest.mark.parametrize(("key", "value", "outcome", "words"), TOLD, ids=lambda part: str(part)[:40])
def test_a_key_is_told(translated, key, value, outcome, words):
    found = translated({key: value})
    notes = [note for note in found.notes if words in note.text]
    assert [(note.outcome, note.line >= 1) for note in notes] == [(outcome, True)], found.notes


@pytest.mark.parametrize("key", WITHOUT_READER)
def test_a_key_without_effect_says_why(translated, key):
    found = translated({key: "x"})
    notes = [(note.outcome, note.text) for note in found.notes if note.key == key]
    assert notes == [(BY_KEY[key].outcome, BY_KEY[key].note)]
    assert BY_KEY[key].note


@pytest.mark.parametrize("key", sorted(USER_FILE_KEYS))
def test_keys_of_user_files_have_no_effect_here(translated, key):
    assert [note.outcome for note in translated({key: "x"}).notes if note.key == key] == [Outcome.IGNORED]


def test_host_names_are_all_of_their_addresses(translated):
    found = translated({"listen-host": "vpn.example.com"})
    assert found.document["vpn"]["listen"] == ["198.51.100.1:443", "[2001:db8::1]:443"]
