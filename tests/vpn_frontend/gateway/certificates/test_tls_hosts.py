# SPDX-License-Identifier: GPL-3.0-or-later
"""What TLS needs of the server and its virtual hosts, read from files and read again."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from lab.authority import Authority
from vpn_frontend.gateway.certificates.server_certificate import CertificateError
from vpn_frontend.gateway.certificates.tls_hosts import load_hosts, refresh_hosts
from vpn_frontend.settings import AuthSettings, CertificateFiles, CertificateSettings, HostSettings


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ca")


@pytest.fixture
def issued(authority):
    """A certificate with its issuer behind it."""
    files = authority.issue("vpn", purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    files.certificate.write_bytes(files.certificate.read_bytes() + authority.pem)
    return files


@pytest.fixture
def stapled(make_settings, authority, issued, tmp_path):
    leaf = tmp_path / "leaf.crt"
    leaf.write_bytes(issued.certificate.read_bytes())
    response = authority.respond(tmp_path, leaf)
    return make_settings(certificate=issued.certificate, private_key=issued.key, ocsp_response=response)


def test_a_host_without_certificates_has_those_of_the_server(make_settings, issued):
    other = HostSettings("b.test", AuthSettings(), (CertificateFiles(issued.certificate, issued.key),))
    own, a, b = load_hosts(make_settings(hosts=(HostSettings("a.test", AuthSettings()), other))).hosts
    assert (own.name, a.name, b.name) == ("", "a.test", "b.test")
    assert a.certificates == own.certificates
    assert b.certificates[0].chain == issued.certificate.read_bytes()


def test_each_host_asks_for_the_certificates_of_its_own_authority(make_settings, authority):
    auth = AuthSettings(methods=("certificate",), certificate=CertificateSettings(ca=authority.file))
    own, host = load_hosts(make_settings(hosts=(HostSettings("a.test", auth),))).hosts
    assert (own.clients.ca, host.clients.ca) == (b"", authority.pem)


def test_a_response_is_stapled_while_clients_would_accept_it(stapled):
    loaded = load_hosts(stapled)
    assert loaded.hosts[0].certificates[0].ocsp == stapled.ocsp_response.read_bytes()
    assert loaded.unstapled == ()
    later = refresh_hosts(stapled, loaded.hosts, now=dt.datetime.now(dt.UTC) + dt.timedelta(days=2))
    assert later.hosts[0].certificates[0].ocsp == b""
    [problem] = later.unstapled
    assert str(stapled.ocsp_response) in problem
    assert "expired" in problem


def test_a_response_that_is_missing_or_foreign_stops_nothing(stapled, tmp_path):
    stapled.ocsp_response.write_bytes(b"junk")
    loaded = load_hosts(stapled)
    assert (loaded.hosts[0].certificates[0].ocsp, len(loaded.unstapled)) == (b"", 1)
    [problem] = load_hosts(replace(stapled, ocsp_response=tmp_path / "none")).unstapled
    assert "No such file" in problem


def test_a_refresh_needs_no_whole_pair_on_disk(stapled):
    """A renewal writes the chain before the key."""
    loaded = load_hosts(stapled)
    stapled.certificate.write_bytes(b"half")
    assert refresh_hosts(stapled, loaded.hosts).hosts == loaded.hosts
    with pytest.raises(CertificateError):
        load_hosts(stapled)
