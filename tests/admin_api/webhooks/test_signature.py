# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of deliveries, against the example of the Standard Webhooks libraries."""

from __future__ import annotations

import pytest

from admin_api.webhooks.signature import MAX_SECRET, MIN_SECRET, make_secret, parse_secret, render_secret, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_published_example():
    headers = sign(parse_secret(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_new_secret_survives_its_text():
    secret = make_secret()
    assert parse_secret(render_secret(secret)) == secret
    assert secret != make_secret()


@pytest.mark.parametrize("size", [MIN_SECRET - 1, MAX_SECRET + 1])
def test_sizes_outside_the_standard(size):
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        parse_secret(render_secret(bytes(size)))


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_?", "whsec_" + "A" * 33])
def test_other_texts(text):
    with pytest.raises(ValueError, match="whsec_"):
        parse_secret(text)
