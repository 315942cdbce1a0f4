# SPDX-License-Identifier: GPL-3.0-or-later
"""The real client logs in by its certificate: alone, beside a password, or instead of one."""

from __future__ import annotations

import signal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.authority import DAY, Authority
from lab.server import PASSWORD
from lab.timeouts import eventually

ONLY = {"methods": ["certificate"]}
BOTH = {"methods": ["password"], "require": ["certificate"]}
EITHER = {"methods": ["password", "certificate"]}


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ca")


@pytest.fixture
def serve(lab, authority):
    def start(auth, **certificate):
        settings = {"auth": auth, "auth.certificate": {"ca": str(authority.file), **certificate}}
        return lab.serve(settings=settings, builtin_limits=False)

    return start


def reload(server, outcome):
    seen = len(server.program.lines)
    server.program.signal(signal.SIGHUP)
    server.program.await_line(outcome, since=seen)


def log_in(server, host, files):
    """Returns what `--cookie` takes, without a tunnel."""
    client = server.connect(host, *files.arguments, "--cookieonly", password="")
    assert client.await_exit() == 0
    return client.await_line("webvpn=").text.strip()


def exit_text(client):
    assert client.await_exit() != 0
    return client.output


def users(server):
    return [session["user"] for session in server.sessions()]


def await_reason(server, code):
    """The log may be written after the client has ended."""
    server.program.await_line(f'"reason": "{code}"')


def test_a_certificate_alone_opens_the_tunnel(lab, serve, authority):
    server = serve({**ONLY, "groups": ["staff", "lab"], "no_group_label": "none"}, group_field="OU", ask_group=True)
    subject = [
        x509.NameAttribute(oid, value)
        for oid, value in ((NameOID.COMMON_NAME, "alice"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "staff"))
    ]
    for host, version in ((lab.host(), "1.3"), (lab.host(), "1.2")):
        strings = ["--gnutls-priority=NORMAL:-VERS-ALL:+VERS-TLS1.2"] if version == "1.2" else []
        client = server.connect(host, *authority.issue("alice", subject).arguments, *strings, password="")
        client.await_up()
    found = [(one["user"], one["groups"], one["tls_version"]) for one in server.sessions()]
    assert sorted(found) == [("alice", ["staff"], "TLSv1.2"), ("alice", ["staff"], "TLSv1.3")]
    several = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, group) for group in ("staff", "lab", "ops")]
    bob = authority.issue("bob", [x509.NameAttribute(NameOID.COMMON_NAME, "bob"), *several])
    for chosen, groups in (("ops", ["ops", "staff", "lab"]), ("none", ["staff", "lab", "ops"])):
        client = server.connect(lab.host(), *bob.arguments, f"--authgroup={chosen}", password="")
        client.await_up()
        assert groups in [one["groups"] for one in server.sessions()]


def test_the_client_s_key_may_have_a_password_or_be_in_pkcs12(lab, serve, authority, tmp_path):
    server, host, alice = serve(ONLY), lab.host(), authority.issue("alice")
    key = load_pem_private_key(alice.key.read_bytes(), None)
    password = BestAvailableEncryption(b"of the key")
    locked, bundle = tmp_path / "locked.key", tmp_path / "alice.p12"
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, password))
    bundle.write_bytes(
        serialize_key_and_certificates(b"alice", key, x509.load_der_x509_certificate(alice.der), None, password)
    )
    for files in ((f"--certificate={alice.certificate}", f"--sslkey={locked}"), (f"--certificate={bundle}",)):
        opened = server.connect(host, *files, "--key-password=of the key", "--cookieonly", password="")
        assert opened.await_exit() == 0, opened.output
        assert opened.find("webvpn=")
    wrong = server.connect(host, f"--certificate={bundle}", "--key-password=wrong", "--cookieonly", password="")
    assert wrong.await_exit() != 0


def test_without_a_certificate_the_user_is_told(lab, serve):
    server = serve(ONLY)
    assert "needs a client certificate" in exit_text(server.connect(lab.host(), password=""))
    await_reason(server, "no_certificate")
    assert users(server) == []


def test_certificate_and_password_of_one_user(lab, serve, authority):
    server = serve({**BOTH, "attempts": 1})
    alice = authority.issue("alice").arguments
    server.connect(lab.host(), *alice).await_up()
    assert users(server) == ["alice"]
    host = lab.host()
    assert "wrong username or password" in exit_text(server.connect(host, *alice, user="bob"))
    assert "wrong username or password" in exit_text(server.connect(host, *alice, password="wrong"))
    assert "needs a client certificate" in exit_text(server.connect(host))
    await_reason(server, "another_user")
    assert users(server) == ["alice"]


def test_a_form_offers_the_groups_of_the_certificate_too(lab, serve, authority):
    server = serve({**BOTH, "groups": ["staff"], "unoffered_groups": True}, group_field="OU")
    subject = [
        x509.NameAttribute(oid, value)
        for oid, value in ((NameOID.COMMON_NAME, "alice"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "hidden"))
    ]
    alice, host = authority.issue("alice", subject).arguments, lab.host()
    assert "not available" in exit_text(server.connect(host, *alice, "--authgroup=others"))
    server.connect(host, *alice, "--authgroup=hidden").await_up()
    assert [one["groups"][0] for one in server.sessions()] == ["hidden"]


def test_certificate_or_password(lab, serve, authority):
    server = serve(EITHER)
    server.connect(lab.host(), *authority.issue("bob").arguments, user="nobody", password="").await_up()
    server.connect(lab.host()).await_up()
    assert sorted(users(server)) == ["alice", "bob"]


def test_certificates_that_do_not_verify_end_the_handshake(lab, serve, authority, tmp_path):
    revoked = authority.issue("revoked")
    crl = tmp_path / "crl.pem"
    crl.write_bytes(authority.revoke(revoked))
    server = serve(ONLY, crl=str(crl))
    host = lab.host()
    bad = [
        authority.issue("old", lifetime=-DAY),
        authority.issue("server", purpose=ExtendedKeyUsageOID.SERVER_AUTH),
        Authority(tmp_path / "foreign", "foreign CA").issue("mallory"),
        revoked,
    ]
    for files in bad:
        client = server.connect(host, *files.arguments, password="")
        assert client.await_exit() != 0, files.certificate.name
    assert users(server) == []
    server.connect(lab.host(), *authority.issue("alice").arguments, password="").await_up()


def test_a_new_list_is_in_force_after_a_reload(lab, serve, authority, tmp_path):
    crl, alice = tmp_path / "crl.pem", authority.issue("alice")
    crl.write_bytes(authority.revoke())
    server = serve(ONLY, crl=str(crl))
    host = lab.host()
    client = server.connect(host, *alice.arguments, password="")
    client.await_up()
    client.goodbye()
    crl.write_bytes(authority.revoke(alice))
    reload(server, "certificate_reloaded")
    assert server.connect(host, *alice.arguments, password="").await_exit() != 0
    crl.write_bytes(b"junk")
    reload(server, "certificate_refused")
    server.connect(lab.host(), *authority.issue("bob").arguments, password="").await_up()


def test_a_list_past_its_next_update_may_count(lab, serve, authority, tmp_path):
    crl, alice, bob = tmp_path / "crl.pem", authority.issue("alice"), authority.issue("bob")
    crl.write_bytes(authority.revoke(alice, lifetime=-DAY))
    server = serve(ONLY, crl=str(crl), crl_check="listed")
    host = lab.host()
    assert server.connect(host, *alice.arguments, password="").await_exit() != 0
    server.program.await_line("the client certificate is revoked")
    server.connect(lab.host(), *bob.arguments, password="").await_up()
    crl.write_bytes(authority.revoke(lifetime=-DAY))
    reload(server, "certificate_reloaded")
    server.connect(host, *alice.arguments, password="").await_up()


def test_the_tunnel_needs_the_certificate_of_its_login(lab, serve, authority):
    server = serve(ONLY)
    host, alice, bob = lab.host(), authority.issue("alice"), authority.issue("bob")
    cookie = log_in(server, host, alice)
    for arguments in ((), bob.arguments):
        client = server.connect(host, *arguments, f"--cookie={cookie}")
        assert client.await_exit() != 0
    assert users(server) == []
    eventually(lambda: server.program.output.count('"another_certificate"'), lambda found: found == 2, "both logged")
    server.connect(host, *alice.arguments, f"--cookie={cookie}").await_up()
    assert users(server) == ["alice"]


def test_a_tunnel_may_come_without_a_certificate_where_that_is_configured(lab, serve, authority):
    server = serve(ONLY, at_connect="optional")
    host = lab.host()
    cookie = log_in(server, host, authority.issue("alice"))
    assert server.connect(host, *authority.issue("bob").arguments, f"--cookie={cookie}").await_exit() != 0
    server.connect(host, f"--cookie={cookie}").await_up()
    assert users(server) == ["alice"]


def test_a_certificate_without_a_user_is_refused(lab, serve, authority):
    server = serve(ONLY, user_field="UID")
    client = server.connect(lab.host(), *authority.issue("alice").arguments, password=PASSWORD)
    assert "names no user" in exit_text(client)
    await_reason(server, "certificate_without_user")
