# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from vpn_frontend.auth.oidc.token_seal import seal_token
from vpn_frontend.protocol.client_offer import read_p256_key

DER, SPKI = Encoding.DER, PublicFormat.SubjectPublicKeyInfo


def open_blob(blob, private):
    """What openconnect does (hpke.c), with the truncated tag."""
    assert blob[:2] == b"\0\1"
    fields, rest = {}, blob[2:]
    while rest:
        name, size = int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:4], "big")
        assert name not in fields
        fields[name], rest = rest[4 : 4 + size], rest[4 + size :]
    assert sorted(fields) == [1, 2, 3, 4]
    assert (len(fields[1]), len(fields[2]), len(fields[4])) == (91, 12, 12)
    shared = private.exchange(ec.ECDH(), load_der_public_key(fields[1]))
    key = HKDF(algorithm=SHA256(), length=32, salt=bytes(32), info=b"AC_ECIES").derive(shared)
    decryptor = Cipher(algorithms.AES(key), modes.GCM(fields[4], fields[2], min_tag_length=12)).decryptor()
    return decryptor.update(fields[3]) + decryptor.finalize()


def test_the_client_opens_the_blob_and_nobody_else():
    private, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    recipient = read_p256_key(private.public_key().public_bytes(DER, SPKI))
    blob = seal_token("ab12" * 16, recipient)
    assert open_blob(blob, private) == b"ab12" * 16
    assert blob != seal_token("ab12" * 16, recipient)
    with pytest.raises(InvalidTag):
        open_blob(blob, other)


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"junk" * 20,
        ec.derive_private_key(7, ec.SECP384R1()).public_key().public_bytes(DER, SPKI),
        ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes(DER, SPKI),
        rsa.generate_private_key(65537, 2048).public_key().public_bytes(DER, SPKI),
        ec.derive_private_key(7, ec.SECP256R1()).public_key().public_bytes(DER, SPKI)[:-1],
        ec.derive_private_key(7, ec.SECP256R1()).public_key().public_bytes(DER, SPKI)[:-1] + b"\0",
    ],
    ids=["empty", "junk", "P-384", "Ed25519", "RSA", "truncated", "off the curve"],
)
def test_other_keys_are_refused(der):
    assert read_p256_key(der) is None
