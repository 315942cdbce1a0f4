# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes beside those of ``oathtool``."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.auth.totp.secret import LOOK_AHEAD, OtpSecret

KEY = bytes.fromhex("3132333435363738393031323334353637383930")
NOW = 1_700_000_010.0


def oathtool(*arguments):
    done = subprocess.run(["oathtool", *map(str, arguments), KEY.hex()], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("period", [30, 60])
@pytest.mark.parametrize("digits", [6, 7, 8])
def test_codes_by_time(period, digits):
    secret = OtpSecret(KEY, period, digits)
    code = oathtool("--totp", "-s", period, "-d", digits, "-N", f"@{int(NOW)}")
    step = int(NOW // period)
    assert secret.find_step(code, NOW) == step
    assert secret.find_step(f" {code[:3]} {code[3:]}", NOW) == step
    assert secret.find_step(code, NOW + period) == step
    assert secret.find_step(code, NOW + 2 * period) is None
    assert secret.find_step(code[:-1], NOW) is None


def test_codes_by_counter():
    secret = OtpSecret(KEY, 0, first=7)
    assert secret.find_step(oathtool("-c", 7), NOW) == 7
    assert secret.find_step(oathtool("-c", 7 + LOOK_AHEAD - 1), NOW) == 7 + LOOK_AHEAD - 1
    assert secret.find_step(oathtool("-c", 7 + LOOK_AHEAD), NOW) is None
    assert secret.find_step(oathtool("-c", 6), NOW) is None


def test_a_pin_goes_before_the_code():
    secret, code = OtpSecret(KEY, 0, pin="12-34"), oathtool("-c", 0)
    assert secret.find_step(f"12-34{code}", NOW) == 0
    assert secret.find_step(code, NOW) is None
    assert secret.find_step(f"1234{code}", NOW) is None


def test_no_secret_is_shown():
    assert repr(OtpSecret(KEY, pin="4711")) == "OtpSecret(period=30, digits=6, first=0)"


@given(st.text(max_size=20))
def test_any_text_is_checked(text):
    assert OtpSecret(KEY, 0, pin="p").find_step(text, NOW) is None or text.startswith("p")
