# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses how a client's DTLS channel is keyed, and renders the X-DTLS headers.

``PSK-NEGOTIATE`` (openconnect since 7.08): a key exported from the TLS connection that carried CONNECT. Resumption (the
only way of AnyConnect and Secure Client): a session that is made up from a master secret of the client. DTLS 1.3 with
the server's certificate: an extension of this project for clients that send its header; the client proves itself after
the handshake (docs/dtls.md). Each offer has a name of 32 random bytes, by which the first datagram finds its session.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from vpn_frontend.gateway.interface import (
    DTLS12_SUITES,
    DTLS13_SUITES,
    OC_DTLS12_SUITES,
    DtlsCertificate,
    DtlsOffer,
    DtlsPsk,
    DtlsResumption,
)
from vpn_frontend.protocol.constants import KEY_SIZE, MASTER_SECRET_SIZE, NO_REKEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vpn_frontend.protocol.connect_request import TunnelRequest
    from vpn_frontend.protocol.connect_response import Headers
    from vpn_frontend.settings import DtlsMode, SessionSettings

# Seconds. openconnect 9.01 halves 1 to 0 and then sends probes without a pause until one is answered.
LEAST_DPD = 2
NAME_SIZE = 32  # bytes; clients abort on an X-DTLS-Session-ID that is not 64 hex digits
PROOF_LABELS = "EXPORTER-ocsentry-dtls13-key:EXPORTER-ocsentry-dtls13-proof"  # native/tls/context.h, dtls/proof.h
ALL_MODES: tuple[DtlsMode, ...] = ("certificate", "psk", "resumption")
REKEY_DELAY = 10  # seconds after the rekey of TLS, so that the two do not coincide


def choose_dtls(
    request: TunnelRequest, exporter_key: bytes, proof_key: bytes = b"", *, modes: Sequence[DtlsMode] = ALL_MODES
) -> DtlsOffer | None:
    """What to offer the client of ``request``; ``None``: TLS only.

    ``proof_key`` is empty where the TLS connection has no exporter that can carry the proof (TLS 1.2).
    """
    if not (request.dtls13_suites or request.dtls12_suites or request.dtls_suites):
        return None
    suites = tuple(suite for suite in DTLS13_SUITES if suite in request.dtls13_suites)
    if "certificate" in modes and suites and len(proof_key) == KEY_SIZE:
        return DtlsCertificate(secrets.token_bytes(NAME_SIZE), proof_key, suites)
    if "psk" in modes and request.dtls_psk and len(exporter_key) == KEY_SIZE:
        return DtlsPsk(secrets.token_bytes(NAME_SIZE), exporter_key)
    suite = next((suite for suite in DTLS12_SUITES if suite in request.dtls12_suites), None)
    suite = suite or next((suite for suite in OC_DTLS12_SUITES if suite in request.dtls_suites), None)
    if "resumption" in modes and suite is not None and len(request.master_secret) == MASTER_SECRET_SIZE:
        return DtlsResumption(secrets.token_bytes(NAME_SIZE), request.master_secret, suite)
    return None


def render_dtls_headers(offer: DtlsOffer, session: SessionSettings, *, port: int, dpd: int, mtu: int) -> Headers:
    """The X-DTLS headers of the response to CONNECT.

    ``dpd`` is that of the session, in seconds. DTLS is probed twice as often, so both ends return to TLS within it.
    """
    timers = (
        ("X-DTLS-Port", str(port)),
        ("X-DTLS-DPD", str(max(LEAST_DPD, dpd // 2) if dpd else 0)),
        ("X-DTLS-Keepalive", str(session.keepalive)),
        ("X-DTLS-Rekey-Time", str(session.rekey_time + REKEY_DELAY if session.rekey_time else NO_REKEY)),
        ("X-DTLS-Rekey-Method", "new-tunnel"),
    )
    if isinstance(offer, DtlsPsk):
        return (*timers, ("X-DTLS-App-ID", offer.app_id.hex()), ("X-DTLS-CipherSuite", "PSK-NEGOTIATE"))
    if isinstance(offer, DtlsCertificate):
        return (
            *timers,
            ("X-DTLS-App-ID", offer.app_id.hex()),
            ("X-DTLS13-CipherSuite", ":".join(offer.suites)),
            ("X-DTLS13-Proof", PROOF_LABELS),
        )
    return (
        *timers,
        ("X-DTLS-Session-ID", offer.session_id.hex()),
        ("X-DTLS-CipherSuite" if offer.cipher in OC_DTLS12_SUITES else "X-DTLS12-CipherSuite", offer.cipher),
        ("X-DTLS-MTU", str(mtu)),
    )
