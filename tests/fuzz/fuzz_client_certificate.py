# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of clients: any DER gives a sound identity or a refusal."""

import sys

import atheris

with atheris.instrument_imports():
    from vpn_frontend.auth.certificate.identity import (
        MAX_GROUPS,
        MAX_NAME_BYTES,
        CertificateFields,
        CertificateNameError,
        read_identity,
    )

FIELDS = (CertificateFields("CN", "OU"), CertificateFields("san:email"), CertificateFields("2.5.4.10", "san:email"))


def fuzz_one(data: bytes) -> None:
    for fields in FIELDS:
        try:
            identity = read_identity(data, fields)
        except CertificateNameError as error:
            assert error.reason.isidentifier()
            continue
        assert len(identity.groups) <= MAX_GROUPS
        for name in (identity.user, *identity.groups):
            assert name == name.strip()
            assert name.isprintable()
            assert 0 < len(name.encode()) <= MAX_NAME_BYTES


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
