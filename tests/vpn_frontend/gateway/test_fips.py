# SPDX-License-Identifier: GPL-3.0-or-later
from vpn_frontend.gateway.fips import CIPHERS, find_fips_problem, restrict_to_fips
from vpn_frontend.settings import VpnSettings
from vpn_frontend.validation import validate


def problems(settings):
    return [text for text in validate(settings, host_networks=()) if "fips" in text or "ciphers" in text]


def test_without_a_module_the_server_does_not_start():
    assert "built without FIPS" in find_fips_problem()
    assert problems(VpnSettings(fips=True)) == [f"fips: {find_fips_problem()}"]
    assert problems(VpnSettings()) == []


def test_with_one_only_approved_suites_are_negotiated(monkeypatch):
    monkeypatch.setattr("vpn_frontend.validation.find_fips_problem", lambda: None)
    assert problems(VpnSettings(fips=True)) == []
    restricted = restrict_to_fips(VpnSettings())
    assert set(restricted.ciphers) == CIPHERS
    assert restricted.dtls_modes == ("certificate", "psk")
    own = VpnSettings(fips=True, ciphers=("TLS13-CHACHA20-POLY1305-SHA256",))
    assert problems(own) == ["ciphers: none of them is approved by FIPS 140"]
    assert restrict_to_fips(own).ciphers == ()
