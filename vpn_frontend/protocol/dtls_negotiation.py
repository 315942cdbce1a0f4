# SPDX-License-Identifier: GPL-3.0-or-later
"""How a client's datagrams will be known: which of the ways of DTLS it gets, and the headers that tell it.

``PSK-NEGOTIATE`` (openconnect since 7.08) takes its key from the TLS connection that carried CONNECT. The older way
"resumes" a session that never was, from a master secret that the client chose: AnyConnect and Secure Client know only
that one. DTLS 1.3 with the server's certificate is an extension of ours, for clients that ask for it by a header that
no other sends; its client proves itself behind the handshake (docs/dtls.md). All are named by 32 random bytes, by which
the first datagram finds its session.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from vpn_frontend.gateway.interface import (
    DTLS12_SUITES,
    DTLS13_SUITES,
    DtlsCertificate,
    DtlsOffer,
    DtlsPsk,
    DtlsResumption,
)
from vpn_frontend.protocol.constants import KEY_SIZE, MASTER_SECRET_SIZE, NO_REKEY

if TYPE_CHECKING:
    from vpn_frontend.protocol.connect_request import TunnelRequest
    from vpn_frontend.protocol.connect_response import Headers
    from vpn_frontend.settings import SessionSettings

# Seconds. Told 1, openconnect 9.01 halves it to 0 and sends probes as fast as it can while one is unanswered.
LEAST_DPD = 2
NAME_SIZE = 32  # bytes; clients abort on an X-DTLS-Session-ID that is not 64 hex digits
PROOF_LABELS = "EXPORTER-ocsentry-dtls13-key:EXPORTER-ocsentry-dtls13-proof"  # native/dtls_proof.h
REKEY_DELAY = 10  # seconds behind TLS, so that the two are not made anew at the same moment


def choose_dtls(request: TunnelRequest, exporter_key: bytes, proof_key: bytes = b"") -> DtlsOffer | None:
    """What to offer a client that asked with ``request``; ``None``: it gets TLS alone.

    An empty ``proof_key``: its TLS connection is none whose exporter can carry the proof.
    """
    suites = tuple(suite for suite in DTLS13_SUITES if suite in request.dtls13_suites)
    if suites and len(proof_key) == KEY_SIZE:
        return DtlsCertificate(secrets.token_bytes(NAME_SIZE), proof_key, suites)
    if request.dtls_psk and len(exporter_key) == KEY_SIZE:
        return DtlsPsk(secrets.token_bytes(NAME_SIZE), exporter_key)
    suite = next((suite for suite in DTLS12_SUITES if suite in request.dtls12_suites), None)
    if suite is not None and len(request.master_secret) == MASTER_SECRET_SIZE:
        return DtlsResumption(secrets.token_bytes(NAME_SIZE), request.master_secret, suite)
    return None


def render_dtls_headers(offer: DtlsOffer, session: SessionSettings, *, port: int, dpd: int, mtu: int) -> Headers:
    """The X-DTLS headers of the answer to CONNECT.

    ``dpd`` is the session's: datagrams are probed twice as often, so that both ends are back on TLS within one period.
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
        ("X-DTLS12-CipherSuite", offer.cipher),
        ("X-DTLS-MTU", str(mtu)),
    )
