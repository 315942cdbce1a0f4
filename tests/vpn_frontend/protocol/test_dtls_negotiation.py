# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from vpn_frontend.gateway.interface import (
    DTLS12_SUITES,
    DTLS13_SUITES,
    OC_DTLS12_SUITES,
    DtlsCertificate,
    DtlsPsk,
    DtlsResumption,
)
from vpn_frontend.protocol.connect_request import TunnelRequest
from vpn_frontend.protocol.dtls_negotiation import choose_dtls, render_dtls_headers
from vpn_frontend.settings import SessionSettings

KEY = bytes(range(32))
SECRET = bytes(range(48))
LEGACY = TunnelRequest(dtls12_suites=("AES128-SHA", *reversed(DTLS12_SUITES)), master_secret=SECRET)


def render(offer, **session):
    return dict(render_dtls_headers(offer, SessionSettings(**session), port=4443, dpd=90, mtu=1400))


def test_psk_wins_with_the_key_of_the_connection():
    offer = choose_dtls(
        TunnelRequest(dtls_suites=("PSK-NEGOTIATE",), dtls12_suites=DTLS12_SUITES, master_secret=SECRET), KEY
    )
    assert isinstance(offer, DtlsPsk)
    assert offer.key == KEY
    headers = render(offer)
    assert headers["X-DTLS-CipherSuite"] == "PSK-NEGOTIATE"
    assert headers["X-DTLS-App-ID"] == offer.app_id.hex()
    assert len(headers["X-DTLS-App-ID"]) == 64
    assert "X-DTLS-Session-ID" not in headers


def test_resumption_takes_the_client_s_secret_and_the_best_common_suite():
    offer = choose_dtls(LEGACY, KEY)
    assert isinstance(offer, DtlsResumption)
    assert (offer.master_secret, offer.cipher) == (SECRET, DTLS12_SUITES[0])
    headers = render(offer)
    assert headers["X-DTLS12-CipherSuite"] == DTLS12_SUITES[0]
    assert len(headers["X-DTLS-Session-ID"]) == 64
    assert headers["X-DTLS-MTU"] == "1400"
    assert "X-DTLS-CipherSuite" not in headers


def test_openconnect_s_names_are_answered_in_its_header():
    for suite in OC_DTLS12_SUITES:
        offer = choose_dtls(TunnelRequest(dtls_suites=("AES128-SHA", suite), master_secret=SECRET), KEY)
        assert (offer.master_secret, offer.cipher) == (SECRET, suite)
        headers = render(offer)
        assert headers["X-DTLS-CipherSuite"] == suite
        assert "X-DTLS12-CipherSuite" not in headers


def test_a_client_that_asks_over_tls_1_3_gets_the_certificate():
    asking = TunnelRequest(
        dtls_suites=("PSK-NEGOTIATE",), dtls13_suites=("TLS_UNKNOWN", DTLS13_SUITES[1], DTLS13_SUITES[0])
    )
    offer = choose_dtls(asking, KEY, SECRET[:32])
    assert isinstance(offer, DtlsCertificate)
    assert offer.key == SECRET[:32]
    headers = render(offer)
    assert headers["X-DTLS13-CipherSuite"] == "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"
    assert headers["X-DTLS-App-ID"] == offer.app_id.hex()
    assert headers["X-DTLS13-Proof"] == "EXPORTER-ocsentry-dtls13-key:EXPORTER-ocsentry-dtls13-proof"
    assert "X-DTLS-CipherSuite" not in headers
    assert isinstance(choose_dtls(asking, KEY), DtlsPsk), "not over TLS 1.2"
    unknown = TunnelRequest(dtls_suites=("PSK-NEGOTIATE",), dtls13_suites=("TLS_UNKNOWN",))
    assert isinstance(choose_dtls(unknown, KEY, SECRET[:32]), DtlsPsk)


def test_a_client_that_does_not_ask_gets_no_header_of_the_certificate():
    for request in (TunnelRequest(dtls_suites=("PSK-NEGOTIATE",)), LEGACY):
        assert not any(name.startswith("X-DTLS13") for name in render(choose_dtls(request, KEY, SECRET[:32])))


@pytest.mark.parametrize(
    ("request_", "key"),
    [
        (TunnelRequest(), KEY),
        (TunnelRequest(dtls_suites=("PSK-NEGOTIATE",)), b""),
        (TunnelRequest(dtls12_suites=("AES128-SHA",), master_secret=SECRET), KEY),
        (TunnelRequest(dtls12_suites=DTLS12_SUITES), KEY),
    ],
)
def test_a_client_without_a_common_way_gets_tls_only(request_, key):
    assert choose_dtls(request_, key) is None


def test_names_are_unique():
    names = {choose_dtls(LEGACY, KEY).session_id for _ in range(50)}
    assert len(names) == 50


def test_dtls_is_probed_twice_as_often_and_rekeyed_later():
    headers = render(choose_dtls(LEGACY, KEY))
    assert headers["X-DTLS-Port"] == "4443"
    assert headers["X-DTLS-DPD"] == "45"
    assert headers["X-DTLS-Rekey-Time"] == "172810"
    assert headers["X-DTLS-Rekey-Method"] == "new-tunnel"
    assert render(choose_dtls(LEGACY, KEY), rekey_time=0)["X-DTLS-Rekey-Time"] == "31536000"
    never = dict(render_dtls_headers(choose_dtls(LEGACY, KEY), SessionSettings(), port=1, dpd=0, mtu=1400))
    assert never["X-DTLS-DPD"] == "0"


@pytest.mark.parametrize(
    ("modes", "kind"),
    [
        (("certificate", "psk", "resumption"), DtlsCertificate),
        (("psk", "resumption"), DtlsPsk),
        (("resumption",), DtlsResumption),
        ((), type(None)),
    ],
)
def test_a_way_that_is_switched_off_is_not_offered(modes, kind):
    asking = TunnelRequest(
        dtls_suites=("PSK-NEGOTIATE",), dtls13_suites=DTLS13_SUITES, dtls12_suites=DTLS12_SUITES, master_secret=SECRET
    )
    assert isinstance(choose_dtls(asking, KEY, KEY, modes=modes), kind)
