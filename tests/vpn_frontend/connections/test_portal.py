# SPDX-License-Identifier: GPL-3.0-or-later
"""What a portal offers beside its own groups."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from lab.authority import Authority
from vpn_frontend.auth.certificate.identity import CertificateFields
from vpn_frontend.connections.portal import certificate_fields, offer_certificate_groups
from vpn_frontend.protocol.connection import PortalConfig
from vpn_frontend.protocol.login_attempts import LoginAttempts
from vpn_frontend.settings import AuthSettings, CertificateSettings

FIELDS = CertificateFields("CN", "OU")


def test_groups_of_a_certificate_are_offered_once(tmp_path):
    portal = PortalConfig(LoginAttempts(240), attempts=3, groups=("staff",), certificate_sha1="")
    names = [(NameOID.COMMON_NAME, "alice"), *((NameOID.ORGANIZATIONAL_UNIT_NAME, name) for name in ("ops", "staff"))]
    alice = Authority(tmp_path).issue("alice", [x509.NameAttribute(*name) for name in names])
    assert offer_certificate_groups(portal, alice.der, FIELDS).groups == ("staff", "ops")
    assert offer_certificate_groups(portal, b"junk", FIELDS) is portal
    assert portal.groups == ("staff",), "other clients see their own"


@pytest.mark.parametrize(
    ("methods", "require", "field", "offered"),
    [
        (("password",), ("certificate",), "OU", True),
        (("password",), ("certificate",), "", False),
        (("certificate",), (), "OU", False),
        (("password",), (), "OU", False),
    ],
    ids=["form", "no-field", "no-form", "no-certificate"],
)
def test_a_form_beside_a_certificate_offers_them(methods, require, field, offered):
    auth = AuthSettings(methods=methods, require=require, certificate=CertificateSettings(group_field=field))
    assert certificate_fields(auth) == (CertificateFields("CN", "OU") if offered else None)
