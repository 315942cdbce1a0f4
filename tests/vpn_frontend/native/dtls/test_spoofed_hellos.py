# SPDX-License-Identifier: GPL-3.0-or-later
"""Hellos in the name of a client's address, under a real engine's policy: the client's own DTLS must not suffer."""

from __future__ import annotations

import secrets
from types import SimpleNamespace

import pytest

from sentry_engine import Engine, Policy
from tests.vpn_frontend.native.dtls_lab import EVERY_WAY
from vpn_frontend.gateway.interface import DtlsUp

LIMIT = 3
FEW = {"events": [{"label": "dtls_handshake", "max_rate_per_second": LIMIT, "penalty_duration_sec": 3600}]}
BLOCKED = {"rules": [{"id": "no", "type": "blacklist", "remote_addr": "127.0.0.0/8"}]}


def _policy(document):
    return Policy.from_document({"wolfsentry": {"version": "1", **document}})


@pytest.fixture
def engine():
    engine = Engine(_policy(FEW))
    yield engine
    engine.close()


@pytest.fixture
def gate(engine):
    """In the place of the stub policy."""
    return SimpleNamespace(address=engine.gate_address)


def _flood(lab, way):
    """Hellos of the client's address beyond the limit, which name no session. The penalty has begun when it returns."""
    forger = lab.client(way, secrets.token_bytes(32), secrets.token_bytes(48))
    forger.step()
    (hello,) = forger.outgoing()
    for _ in range(20 * LIMIT):
        forger.socket.send(hello)
    lab.bench.wait_stat("dtls_hello_refused")


@pytest.mark.parametrize("way", EVERY_WAY)
def test_spoofed_hellos_keep_no_client_out(lab, engine, way):
    _, session, client = lab.tunnel(way)
    _flood(lab, way)
    assert client.shake_hands_and_prove()
    assert lab.bench.wait(DtlsUp).session == session
    assert engine.decide("connect", "127.0.0.1").accepted


def test_hellos_that_name_a_session_count_in_no_limit(lab):
    _, _, client = lab.tunnel()
    client.step()
    (hello,) = client.outgoing()
    for _ in range(4 * LIMIT):
        client.socket.send(hello)
        assert client.receive()
    assert lab.stat("dtls_hello_refused") == 0


def test_a_blocked_source_gets_no_answer_though_it_names_a_session(lab, engine):
    _, _, client = lab.tunnel()
    engine.swap(_policy(BLOCKED))
    client.step()
    (hello,) = client.outgoing()
    client.socket.send(hello)
    lab.bench.wait_stat("dtls_hello_refused")
    assert lab.stat("dtls_cookies_sent") == 0
