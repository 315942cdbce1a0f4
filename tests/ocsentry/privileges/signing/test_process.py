# SPDX-License-Identifier: GPL-3.0-or-later
"""The real helper with its signing process: what it gives to the server, what it keeps, and what it outlives."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import socket
import struct
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from lab.certificates import make_certificate
from lab.timeouts import TIMEOUT
from ocsentry.privileges.helper.client import Helper, HelperError
from ocsentry.privileges.helper.scope import Scope
from vpn_frontend.gateway.certificates.server_certificate import CertificateError
from vpn_frontend.gateway.tun import TunDevice
from vpn_frontend.settings import CertificateFiles

NUMBER = 1 << 16 | 1
DIGEST = hashlib.sha256(b"a transcript").digest()
PASSWORD = b"correct horse"


def make_scope(folder, **files):
    names = {
        "vpn.certificate": folder / "server.crt",
        "vpn.private_key": folder / "server.key",
        "admin.private_key": folder / "api.key",
        **files,
    }
    private = tuple(
        name for name in names if name.rpartition(".")[2] != "certificate" and not name.startswith("admin.")
    )
    networks = (ip_network("192.168.99.0/24"),)
    return Scope(names, TunDevice("ocstest8", (), 1400), networks, private_files=private)


@pytest.fixture
def folder(tmp_path):
    make_certificate(tmp_path)
    (tmp_path / "api.key").write_text("the API's")
    return tmp_path


@pytest.fixture
def start():
    helpers = []

    def begin(scope):
        helpers.append(Helper.start(scope))
        helpers[-1].confine(seccomp="kill", landlock=True)
        return helpers[-1]

    yield begin
    for helper in helpers:
        helper.close()


def files_of(folder, password=None):
    return CertificateFiles(folder / "server.crt", folder / "server.key", None, password)


def signer_of(helper):
    pid = helper._process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def take(descriptor):
    link = socket.socket(fileno=descriptor)
    link.settimeout(TIMEOUT)
    return link


def sign(link, number=NUMBER):
    link.send(struct.pack("=QQII", 1, number, 1, len(DIGEST)) + DIGEST)
    answer = link.recv(4096)
    _, status, size = struct.unpack("=QiI", answer[:16])
    assert size == len(answer) - 16
    return status, answer[16:]


def verify(certificate, signature):
    leaf = x509.load_pem_x509_certificates(certificate.chain)[0]
    leaf.public_key().verify(signature, DIGEST, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


def has_ended(pid):
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], TIMEOUT)[0])
    finally:
        os.close(descriptor)


def test_every_worker_gets_signatures_and_the_server_gets_no_key(start, folder):
    helper = start(make_scope(folder))
    links = [take(one) for one in helper.open_signer(2)]
    certificate = helper.load_key(files_of(folder), NUMBER)
    assert (certificate.key, certificate.signer_key) == (b"", NUMBER)
    for link in links:
        status, signature = sign(link)
        assert status == 0
        verify(certificate, signature)
        link.close()
    with pytest.raises(HelperError, match="signing process alone"):
        helper.read_key(folder / "server.key", 100)
    assert helper.read_key(folder / "server.crt", 1 << 20) == certificate.chain
    assert helper.read_key(folder / "api.key", 100) == b"the API's"
    with pytest.raises(HelperError, match="already"):
        helper.open_signer(2)


def test_old_keys_serve_until_they_are_forgotten(start, folder):
    helper = start(make_scope(folder))
    (link,) = map(take, helper.open_signer(1))
    old = helper.load_key(files_of(folder), NUMBER)
    make_certificate(folder)
    new = helper.load_key(files_of(folder), NUMBER + 1)
    verify(old, sign(link)[1])
    verify(new, sign(link, NUMBER + 1)[1])
    helper.forget_keys(NUMBER + 1)
    assert sign(link)[0] < 0
    verify(new, sign(link, NUMBER + 1)[1])
    link.close()


def test_keys_with_a_password_and_pkcs12(start, folder):
    (folder / "password").write_bytes(PASSWORD + b"\n")
    private = load_pem_private_key((folder / "server.key").read_bytes(), None)
    locked = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD))
    leaf = x509.load_pem_x509_certificate((folder / "server.crt").read_bytes())
    bundle = pkcs12.serialize_key_and_certificates(b"vpn", private, leaf, None, BestAvailableEncryption(PASSWORD))
    (folder / "server.key").write_bytes(locked)
    (folder / "server.p12").write_bytes(bundle)
    second = {f"vpn.certificates.0.{name}": folder / "server.p12" for name in ("certificate", "private_key")}
    helper = start(make_scope(folder, **{"vpn.private_key_password_file": folder / "password"}, **second))
    (link,) = map(take, helper.open_signer(1))
    of_pem = helper.load_key(files_of(folder, folder / "password"), NUMBER)
    of_p12 = CertificateFiles(folder / "server.p12", folder / "server.p12", None, folder / "password")
    of_bundle = helper.load_key(of_p12, NUMBER + 1)
    verify(of_pem, sign(link)[1])
    verify(of_bundle, sign(link, NUMBER + 1)[1])
    for name in ("server.p12", "password"):
        with pytest.raises(HelperError, match="signing process alone"):
            helper.read_key(folder / name, 100)
    link.close()


def test_files_that_are_no_pair_are_named(start, folder):
    helper = start(make_scope(folder))
    helper.open_signer(1)
    (folder / "server.key").write_text("no key")
    with pytest.raises(CertificateError, match=r"server\.key: no private key in PEM form"):
        helper.load_key(files_of(folder), NUMBER)
    (folder / "server.key").unlink()
    with pytest.raises(CertificateError, match=r"server\.key: No such file"):
        helper.load_key(files_of(folder), NUMBER)


@pytest.mark.parametrize("number", [0, -1, 1 << 48, True, "1", None])
def test_a_number_out_of_range_is_refused(start, folder, number):
    helper = start(make_scope(folder))
    with pytest.raises(CertificateError, match="out of range"):
        helper.load_key(files_of(folder), number)


def test_only_the_pairs_of_the_configuration_are_loaded(start, folder):
    helper = start(make_scope(folder))
    helper.open_signer(1)
    with pytest.raises(CertificateError, match="names no such private key"):
        helper.load_key(CertificateFiles(folder / "server.crt", folder / "api.key"), NUMBER)


def test_the_process_has_no_privilege_and_no_files(start, folder):
    helper = start(make_scope(folder))
    pid = signer_of(helper)
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["Name"] == "signer"
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    (link,) = map(take, helper.open_signer(1))
    helper.load_key(files_of(folder), NUMBER)
    opened = {str(place.readlink()).partition(":")[0] for place in Path(f"/proc/{pid}/fd").iterdir()}
    assert not {name for name in opened if name.startswith(str(folder))}
    link.close()


def test_it_outlives_the_helper_and_ends_with_the_workers(start, folder):
    helper = start(make_scope(folder))
    (link,) = map(take, helper.open_signer(1))
    certificate = helper.load_key(files_of(folder), NUMBER)
    pid = signer_of(helper)
    helper._process.kill()
    helper._process.wait(TIMEOUT)
    verify(certificate, sign(link)[1])
    link.close()
    assert has_ended(pid)


def test_its_end_is_noticed_and_said(start, folder):
    helper = start(make_scope(folder))
    (link,) = map(take, helper.open_signer(1))
    os.kill(signer_of(helper), signal.SIGKILL)
    assert link.recv(1) == b""
    with pytest.raises(CertificateError, match="signing process is gone"):
        helper.load_key(files_of(folder), NUMBER)
    link.close()


def test_one_that_hangs_delays_a_reload_by_a_bounded_time(start, folder):
    helper = start(make_scope(folder))
    (link,) = map(take, helper.open_signer(1))
    pid = signer_of(helper)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(CertificateError, match="took too long"):
        helper.load_key(files_of(folder), NUMBER)
    os.kill(pid, signal.SIGKILL)
    link.close()
