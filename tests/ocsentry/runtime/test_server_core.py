# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything in a server that decides runs on the native core: its engine, the API's throttle, simulation, routes."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from admin_api.http.limits.throttle import Throttle
from ocsentry.runtime.server import Server
from ocsentry.setup.certificates import make_self_signed
from sentry_engine import Decision, Engine, Policy, Verdict, pack_address, simulate
from sentry_engine.cores.factory import make_core
from sentry_engine.cores.native.core import NativeCore
from sentry_engine.cores.reference.core import ReferenceCore
from sentry_engine.verdict import Action, Reason
from vpn_frontend.gateway.certificates.server_certificate import load_certificate

EMPTY = {"wolfsentry": {"version": "1.6.3", "rules": []}}
ROUTES = {
    "wolfsentry-config-version": 1,
    "routes": [{"direction-in": True, "penalty-boxed": True, "family": "inet", "protocol": 6, "local": {"port": 25}}],
}


@pytest.fixture(autouse=True)
def no_reference_core(monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("a server made a reference core")

    monkeypatch.setattr(ReferenceCore, "__init__", refuse)


def test_the_servers_engine():
    policy = SimpleNamespace(never_block=())
    limits = SimpleNamespace(max_clients=1, max_same_clients=1, on_excess="deny_new")
    config = SimpleNamespace(values=SimpleNamespace(policy=policy), vpn=SimpleNamespace(limits=limits))
    server = Server.__new__(Server)
    server._config, server._events = config, None
    with ExitStack() as server._made, server._make_engine() as engine:
        assert engine.gate_address
        assert engine.decide("connect", "192.0.2.1").action is Action.REJECT


def test_the_throttle_of_the_api():
    throttle = Throttle()
    assert throttle.note_failure("192.0.2.1", 0.0) is None
    assert throttle._engine.gate_address


def test_simulation():
    recorded = Decision(0.0, "connect", pack_address("192.0.2.1"), None, Verdict(Action.REJECT, Reason.RULE, "no"), 0.0)
    (change,) = simulate(Policy.from_document(EMPTY), [recorded])
    assert change.after.accepted


def test_the_core_before_route_tables():
    with Engine(Policy.from_document(ROUTES), core=NativeCore()) as engine:
        assert engine.decide("connect", "192.0.2.1", local_port=25).rule_id == "route:0"


def test_an_unknown_core_is_an_error_and_not_another_core():
    with pytest.raises(ValueError, match="there is no core 'twin': choose one of native, reference, wolfsentry"):
        make_core("twin")


def test_a_lost_tun_device_makes_the_server_not_ready():
    async def scenario():
        server = Server.__new__(Server)
        network = SimpleNamespace(network=SimpleNamespace(device="ocs0"))
        vpn = SimpleNamespace(tun_lost=asyncio.Event(), find_tun_problem=lambda: None)
        server._config, server._vpn = SimpleNamespace(vpn=network), vpn
        assert await server._check_tun() is None
        server._vpn.tun_lost.set()
        assert await server._check_tun() == "the TUN device ocs0 was deleted"

    asyncio.run(scenario())


@pytest.mark.parametrize(("age", "problem"), [(timedelta(0), None), (timedelta(days=20_000), "expired at")])
def test_readiness_looks_at_the_certificates_in_use_and_reads_no_file(tmp_path, age, problem):
    """So a helper that hangs delays no answer: the server of this test has none."""
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    make_self_signed(certificate, key, ["vpn.test"], datetime.now(UTC) - age)
    pair = load_certificate(certificate, key)
    certificate.unlink()
    server = Server.__new__(Server)
    server._vpn = SimpleNamespace(certificates=lambda: (pair,))
    found = asyncio.run(server._check_certificate())
    assert found is None if problem is None else found.startswith(problem)
