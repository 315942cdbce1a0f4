# SPDX-License-Identifier: GPL-3.0-or-later
"""The method against Debian's FreeRADIUS on loopback."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_address

import pytest
import pytest_asyncio

from lab.services.freeradius import PASSWORD, SECRET, FreeRadius, Here
from tests.vpn_frontend.auth.scripted import outcome_of
from tests.vpn_frontend.reserved_ports import port_of, reserve_port
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.radius.method import RadiusMethod
from vpn_frontend.auth.result import WRONG, Accepted, Challenge, Refused, Unavailable
from vpn_frontend.radius.link import Target
from vpn_frontend.radius.servers import RadiusServers
from vpn_frontend.settings import Endpoint, RadiusSettings
from vpn_frontend.testing import MemoryDirectory, MemoryEvents

pytestmark = pytest.mark.asyncio

ALICE = LoginRequest("alice", PASSWORD, "", ip_address("192.0.2.1"), "agent")


@pytest.fixture(scope="module", params=[True, False], ids=["signs", "unsigned"])
def freeradius(request, tmp_path_factory):
    reserved = [reserve_port(), reserve_port()]
    ports = [port_of(one) for one in reserved]
    server = FreeRadius(
        tmp_path_factory.mktemp("raddb"), Here(), port=ports[0], accounting_port=ports[1], signs=request.param
    )
    server.signs = request.param
    yield server
    server.kill()
    for one in reserved:
        one.close()


@pytest.fixture
def events():
    return MemoryEvents()


@pytest_asyncio.fixture
async def make_method(freeradius, events):
    made = []

    def make(**how):
        endpoint = Endpoint(ip_address("127.0.0.1"), freeradius.port)
        how = {"secret": SECRET.encode(), "require_message_authenticator": freeradius.signs, "timeout": 60.0, **how}
        target = Target(endpoint, **how)
        made.append(RadiusServers([target], purpose="login", dead_time=0, events=events, clock=time.monotonic))
        return RadiusMethod(made[-1], RadiusSettings(group_config=True), MemoryDirectory())

    yield make
    for servers in made:
        servers.close()


async def begin(method, **changes):
    return await outcome_of(method.begin(replace(ALICE, **changes)))


async def test_accept_with_groups_and_settings(make_method):
    accepted = await begin(make_method())
    assert accepted.groups == ("staff", "ops")
    overrides = accepted.remote.overrides
    assert overrides["static_ipv4"] == ip_address("192.168.99.77")
    assert [str(route) for route in overrides["network"]["routes"]] == ["10.1.0.0/16"]
    assert overrides["session"] == {"session_timeout": 3600}


async def test_wrong_password_and_unknown_user_get_the_same_words(make_method):
    method = make_method()
    assert await begin(method, password="wrong") == Refused(WRONG, "wrong_password")
    assert await begin(method, username="nobody") == Refused(WRONG, "wrong_password")


async def test_challenge(make_method):
    method = make_method()
    challenged = await begin(method, username="otp")
    assert challenged.form.message == "Code?"
    assert isinstance(await outcome_of(method.answer(challenged.state, {"secondary_password": "0"})), Refused)
    challenged = await begin(method, username="otp")
    assert isinstance(challenged, Challenge)
    right = {"secondary_password": PASSWORD + "1"}
    assert isinstance(await outcome_of(method.answer(challenged.state, right)), Accepted)


async def test_enforcement_names_a_server_that_signs_nothing(make_method, freeradius, events):
    how = {} if freeradius.signs else {"timeout": 1.0, "retries": 0}
    outcome = await begin(make_method(require_message_authenticator=True, **how))
    assert isinstance(outcome, Accepted if freeradius.signs else Unavailable)
    assert len(events.of("radius_answer_dropped")) == (0 if freeradius.signs else 1)


async def test_a_wrong_secret_logs_nobody_in(make_method):
    method = make_method(secret=b"another secret", timeout=0.5, retries=0)
    assert isinstance(await begin(method), Unavailable), "the server drops what it cannot verify"
