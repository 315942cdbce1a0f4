# SPDX-License-Identifier: GPL-3.0-or-later
"""What has the form of a secret is masked, known secrets are masked in every spelling, and other text stays."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from ocsentry.setup.support.redaction import MASK, Redactor

SEED = "Zq7vLm2xW9"
FORMS = (
    f"-----BEGIN PRIVATE KEY-----\n{SEED}\n{SEED}\n-----END PRIVATE KEY-----\n",
    f"-----BEGIN EC PRIVATE KEY-----\n{SEED}",  # the end is cut
    f"alice:$argon2id$v=19$m=65536,t=3,p=4${SEED}${SEED}",
    f"bob:staff:$5$saltsalt${SEED}",
    f"carol:$2y$10${SEED}",
    f"signed with whsec_{SEED}AAAA==",
    f"Authorization: Bearer {SEED}.abc-_~",
    f"Authorization: Basic {SEED}==",
    f"ocs_0123456789ab_{'0123456789abcdef' * 4}",
    f"id_token eyJhbGciOi.eyJzdWIi.{SEED}",
    f"postgresql+psycopg://vpn:{SEED}@db.example.org/vpn",
    f"otpauth://totp/VPN:alice?secret={SEED}",
    f"Cookie: webvpncontext={SEED}; webvpn={SEED}",
    f"webvpn={SEED}; path=/",
    f"password={SEED}",
    f'{{"client_secret": "{SEED}", "n": 1}}',
    f'{{"new_password": "a \\"{SEED}\\" b"}}',
    f"passwd: '{SEED}'",
    f"API_KEY={SEED}",
)
PLAIN = (
    "session_start user=alice address=192.0.2.7 inner=10.20.0.5 dtls=DTLS1.3 tls=TLS_AES_256_GCM_SHA384",
    "auth.radius.servers: /etc/ocsentry/radius.secret: cannot be read: Permission denied",
    '{"secret_file": "/etc/ocsentry/fleet.secret", "key_file": "/var/lib/ocsentry/totp.key"}',
    "https://vpn.example.org:4443/CACHE/x?y=1 pin-sha256:Zq7vLm2xW9==",
    "login_refused reason=wrong_password user=bob",
    'ocsentry_verdicts_total{action="reject",reason="rule"} 12',
)


@pytest.mark.parametrize("text", FORMS)
def test_the_form_of_a_secret_is_enough(text):
    said = Redactor(()).clean(f"before {text} after")
    assert MASK in said
    assert SEED not in said
    assert "0123456789abcdef" not in said
    assert said.startswith("before ")


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_stays(text):
    assert Redactor(("abc", "")).clean(text) == text  # too short to be masked


def test_json_stays_json():
    document = {"password": 'a "b" c', "list": [{"secret": "d e"}], "count": 3, "name": "x"}
    said = json.loads(Redactor(()).clean(json.dumps(document)))
    assert said == {"password": MASK, "list": [{"secret": MASK}], "count": 3, "name": "x"}


@pytest.mark.parametrize("secret", ['käse"\\ und\tBrot', "p@ss/w:rd?", "aa+bb%20"])
def test_a_known_secret_is_masked_in_every_spelling(secret):
    redactor = Redactor({secret, "bb%"})
    for spelling in (secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), quote(secret, safe="")):
        assert redactor.clean(f"log {spelling} end").strip('"') in (f"log {MASK} end", f'log "{MASK}" end')
