# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from ocsentry.configuration.model import ConfigError, load_config
from ocsentry.configuration.sections.ldap import parse_ldap_url

GOOD = {"url": '"ldaps://ldap.example.org"', "base": '"dc=example"'}


def load(tmp_path, methods='["ldap"]', **keys):
    lines = [f"{key} = {value}" for key, value in {**GOOD, **keys}.items() if value]
    path = tmp_path / "ocsentry.toml"
    path.write_text("\n".join([f"[auth]\nmethods = {methods}\n[auth.ldap]", *lines]))
    return load_config(path).values.auth.ldap


def test_urls_are_one_or_a_list_with_the_usual_ports(tmp_path):
    section = load(tmp_path, url='["ldaps://a.example", "ldaps://[2001:db8::1]:1636"]')
    assert [(url.host, url.port, url.ldaps) for url in section.urls] == [
        ("a.example", 636, True),
        ("2001:db8::1", 1636, True),
    ]
    section = load(tmp_path, url='"ldap://a.example/"', start_tls="true")
    assert [(url.host, url.port, url.ldaps) for url in section.urls] == [("a.example", 389, False)]


@pytest.mark.parametrize(
    "text",
    ["", "ldap.example.org", "http://a", "ldaps://", "ldaps://a:0", "ldaps://a:70000", "ldaps://a/dc=x", "ldap://u@a"],
)
def test_other_urls_are_refused(text):
    with pytest.raises(ValueError, match="is not ldaps://HOST"):
        parse_ldap_url(text)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"url": ""}, "auth.ldap.url: name the server"),
        ({"base": ""}, "auth.ldap.base: name the DN"),
        ({"url": '"ldap://ldap.example.org"'}, "would show passwords to the network"),
        ({"start_tls": "true"}, "encrypted from the start"),
        ({"bind_dn": '"cn=vpn"'}, "both bind_dn and password_file"),
        ({"password_file": '"secret"'}, "both bind_dn and password_file"),
        ({"filter": '"(uid=alice)"'}, "auth.ldap.filter: the filter does not contain %u"),
        ({"filter": '"(uid=%u"'}, "auth.ldap.filter: "),
        ({"group_filter": '"(cn=x)"'}, "auth.ldap.group_filter: the filter does not contain %d or %u"),
        ({"url": '["ldaps://a", "ldaps://b"]', "timeout": "60"}, "timeout: all servers may take 120 seconds"),
        ({"timeout": "0"}, "auth.ldap.timeout"),
        ({"verify": "false"}, "auth.ldap.verify: unknown key"),
    ],
)
def test_what_cannot_work_is_refused_with_its_key(tmp_path, keys, told):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, **keys)
    assert told in str(caught.value)


def test_a_plain_connection_is_for_loopback_alone(tmp_path):
    assert load(tmp_path, url='["ldap://127.0.0.1", "ldap://[::1]:3389", "ldap://localhost"]').urls


def test_an_unused_table_may_be_empty(tmp_path):
    assert load(tmp_path, methods='["password"]', url="", base="").url == ()
