# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway without private keys: a thread of the test signs, or answers as the test wants."""

from __future__ import annotations

import socket
import struct
import threading
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from lab.timeouts import TIMEOUT
from tests.vpn_frontend.native.conftest import make_certificate
from vpn_frontend._gateway import ffi, lib
from vpn_frontend.gateway.certificates.server_certificate import parse_certificate

KEY = 7
HEAD = struct.Struct("=QQII")  # of a request: serial, key, scheme, size; the input follows
ANSWER = struct.Struct("=QiI")  # serial, status, size; the signature follows


def der_of(pem):
    private = serialization.load_pem_private_key(pem, password=None)
    form = serialization.PrivateFormat.PKCS8
    return private.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())


class Signers:
    """One socket pair per worker. ``serve`` answers as the signing process does."""

    def __init__(self, workers=1):
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(workers)]
        self.ends = [theirs for _, theirs in pairs]
        for end in self.ends:
            end.settimeout(TIMEOUT)
        self.given = tuple(ours.detach() for ours, _ in pairs)
        self._signers = []
        self._threads = []

    def add(self, certificate, number):
        der, error = der_of(certificate.key), ffi.new("char[]", 256)
        for signer in self._signers or [self._new() for _ in self.ends]:
            status = lib.gw_signer_add(signer, number, certificate.key_type, der, len(der), error, 256)
            assert status == 0, ffi.string(error)

    def _new(self):
        self._signers.append(lib.gw_signer_new())
        return self._signers[-1]

    def forget(self, before):
        for signer in self._signers:
            lib.gw_signer_forget(signer, before)

    def sign(self, request):
        """The answer of the first signer."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            ours.settimeout(TIMEOUT)
            ours.send(request)
            ours.shutdown(socket.SHUT_WR)
            assert lib.gw_signer_serve(self._signers[0], theirs.fileno()) == 0
            return ours.recv(4096)

    def serve(self):
        for signer, end in zip(self._signers, self.ends, strict=True):
            end.settimeout(None)
            thread = threading.Thread(target=lib.gw_signer_serve, args=(signer, end.fileno()))
            thread.start()
            self._threads.append(thread)

    def close(self):
        """Call it once the gateway is closed: the threads have ended then."""
        for thread in self._threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()
        for end in self.ends:
            end.close()
        for signer in self._signers:
            lib.gw_signer_free(signer)


@pytest.fixture(scope="session")
def pairs(ecdsa_pair, rsa_pair):
    """Certificate and key by the kind of the key."""
    return {
        "p256": ecdsa_pair,
        "p384": make_certificate(ec.generate_private_key(ec.SECP384R1())),
        "p521": make_certificate(ec.generate_private_key(ec.SECP521R1())),
        "rsa": rsa_pair,
        "ed25519": make_certificate(ed25519.Ed25519PrivateKey.generate(), None),
    }


@pytest.fixture
def isolated(start):
    """``isolated(pair, *more)``: a gateway with its keys in ``bench.signers``. They sign unless ``serve`` is false."""
    benches = []

    def begin(*given, serve=True, workers=1, starter=start, **options):
        signers = Signers(workers)
        certificates = []
        for number, pair in enumerate(given, start=KEY):
            certificate = parse_certificate(*pair)
            signers.add(certificate, number)
            certificates.append(replace(certificate, key=b"", signer_key=number))
        if serve:
            signers.serve()
        first, *more = certificates
        bench = starter(pair=first, more=more, workers=workers, signers=signers.given, **options)
        bench.signers = signers
        benches.append(bench)
        return bench

    yield begin
    for bench in benches:
        bench.close()
        bench.signers.close()
