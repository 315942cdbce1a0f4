# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vpn_frontend.ports import Device, UserRecord
from vpn_frontend.protocol.connect_request import NO_PROOF, StrapProof, TunnelRequest
from vpn_frontend.sessions.admission import CookieError, Login
from vpn_frontend.sessions.strap import add_key, find_failure
from vpn_frontend.settings import AuthSettings

EXPORTED, FINISHED = b"e" * 32, b"f" * 48
BINDINGS = (EXPORTED, FINISHED)


class Key:
    def __init__(self, curve=ec.SECP256R1):
        self.private = ec.generate_private_key(curve())
        self.der = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def prove(self, new, binding=EXPORTED):
        return StrapProof(new.der, self.private.sign(binding + new.der, ec.ECDSA(SHA256())))


FIRST, SECOND, THIRD = Key(), Key(), Key()


@pytest.mark.parametrize("binding", BINDINGS, ids=["exporter", "Finished"])
def test_a_client_proves_itself_by_the_key_before(binding):
    assert find_failure((FIRST.der,), FIRST.prove(SECOND, binding), BINDINGS) is None
    assert find_failure((FIRST.der,), FIRST.prove(FIRST, binding), BINDINGS) is None, "with --cookie the key stays"


def test_each_connect_rolls_the_key():
    known = add_key((FIRST.der,), SECOND.der)
    assert known == (FIRST.der, SECOND.der)
    assert find_failure(known, SECOND.prove(THIRD), BINDINGS) is None
    assert find_failure(known, FIRST.prove(THIRD), BINDINGS) is None, "the client may have lost the answer"
    rolled = add_key(known, THIRD.der)
    assert rolled == (SECOND.der, THIRD.der)
    assert find_failure(rolled, FIRST.prove(THIRD), BINDINGS) == "strap_mismatch"
    assert add_key(rolled, THIRD.der) == rolled
    assert add_key(rolled, b"") == rolled


@pytest.mark.parametrize(
    ("proof", "reason"),
    [
        (NO_PROOF, "strap_missing"),
        (StrapProof(SECOND.der), "strap_missing"),
        (StrapProof(b"", b"s"), "strap_missing"),
        (StrapProof(b"junk", b"s"), "strap_key_unusable"),
        (FIRST.prove(Key(ec.SECP384R1)), "strap_key_unusable"),
        (StrapProof(SECOND.der, b"junk"), "strap_mismatch"),
        (StrapProof(THIRD.der, FIRST.prove(SECOND).signature), "strap_mismatch"),
        (SECOND.prove(THIRD), "strap_mismatch"),
        (FIRST.prove(SECOND, b"g" * 32), "strap_mismatch"),
        (FIRST.prove(SECOND, b""), "strap_mismatch"),
    ],
    ids=[
        "none", "no signature", "no key", "junk key", "other curve", "junk signature", "another key signed",
        "another client", "another connection", "no connection",
    ],
)  # fmt: skip
def test_a_stolen_cookie_is_no_proof(proof, reason):
    assert find_failure((FIRST.der,), proof, (*BINDINGS, b"")) == reason


def test_a_session_whose_login_showed_no_key_has_none_to_prove():
    assert find_failure((), NO_PROOF, BINDINGS) is None


def test_a_login_with_an_unusable_key_cannot_be_proved():
    assert find_failure((b"junk",), FIRST.prove(SECOND), BINDINGS) == "strap_mismatch"


def log_in(lab, key=FIRST.der):
    user = UserRecord("alice", "")
    return lab.table.log_in(Login(user, (), Device(), "agent", strap_key=key), lab.now)


def open_tunnel(lab, cookie, proof=NO_PROOF, binding=EXPORTED):
    peer = replace(lab.peer(), bindings=(binding,))
    admission = lab.begin(cookie, peer, TunnelRequest(strap=proof))
    lab.open(admission)
    lab.pump()


def test_enforced_a_cookie_opens_tunnels_for_the_client_of_the_login_only(make_lab):
    lab = make_lab(auth=AuthSettings(strap="enforce"))
    cookie = log_in(lab)
    for proof, reason in ((NO_PROOF, "strap_missing"), (SECOND.prove(THIRD), "strap_mismatch")):
        with pytest.raises(CookieError, match=reason):
            open_tunnel(lab, cookie, proof)
    assert len(lab.table) == 0
    open_tunnel(lab, cookie, FIRST.prove(SECOND))
    open_tunnel(lab, cookie, SECOND.prove(THIRD))
    with pytest.raises(CookieError, match="strap_mismatch"):
        open_tunnel(lab, cookie, SECOND.prove(FIRST), binding=FINISHED)
    assert len(lab.table) == 1, "the session goes on"
    open_tunnel(lab, log_in(lab, b""))
    assert lab.events.of("strap_failed") == []


def test_observed_a_failure_is_logged(make_lab):
    lab = make_lab(auth=AuthSettings(strap="observe"))
    open_tunnel(lab, log_in(lab))
    assert [event["reason"] for event in lab.events.of("strap_failed")] == ["strap_missing"]
    off = make_lab(auth=AuthSettings(strap="off"))
    open_tunnel(off, log_in(off))
    assert off.events.of("strap_failed") == []
