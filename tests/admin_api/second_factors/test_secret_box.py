# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from admin_api.second_factors.secret_box import KEY_SIZE, SealError, SecretBox

SECRET = b"12345678901234567890"


@pytest.fixture
def box():
    return SecretBox(bytes(KEY_SIZE))


def test_a_sealed_secret_opens_for_its_user_only(box):
    sealed = box.seal(SECRET, "alice")
    assert SECRET not in sealed
    assert box.open(sealed, "alice") == SECRET
    assert box.seal(SECRET, "alice") != sealed
    with pytest.raises(SealError, match="the secret of bob cannot be opened"):
        box.open(sealed, "bob")
    with pytest.raises(SealError, match=r"auth\.totp\.key_file"):
        SecretBox(b"\1" * KEY_SIZE).open(sealed, "alice")


@pytest.mark.parametrize("cut", [0, 1, 11, 12, 13, 47])
def test_what_is_cut_or_changed_does_not_open(box, cut):
    sealed = box.seal(SECRET, "alice")
    changed = bytearray(sealed)
    changed[min(cut, len(sealed) - 1)] ^= 1
    for wrong in (sealed[:cut], bytes(changed)):
        with pytest.raises(SealError):
            box.open(wrong, "alice")


def test_the_digest_of_a_code_is_of_its_user_and_key(box):
    digests = {
        box.digest_code("ABCDEFGH", "alice"),
        box.digest_code("ABCDEFGH", "bob"),
        box.digest_code("ABCDEFG2", "alice"),
        SecretBox(b"\1" * KEY_SIZE).digest_code("ABCDEFGH", "alice"),
    }
    assert len(digests) == 4
    with pytest.raises(ValueError, match="31 bytes"):
        SecretBox(bytes(31))
