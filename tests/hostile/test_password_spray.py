# SPDX-License-Identifier: GPL-3.0-or-later
"""Guesses of passwords beside real logins, from many addresses: with the policy that a server starts with, and without.

OCSENTRY_SPRAY_RATE: guesses a second. OCSENTRY_SPRAY_AT_ONCE: how many of them at a time; a machine that cannot serve
the rate is asked no more than that. OCSENTRY_SPRAY_SOURCES: addresses they come from. OCSENTRY_SPRAY_LOGINS: real
logins meanwhile.
"""

from __future__ import annotations

import os
import time
from functools import partial
from ipaddress import IPv4Address

import pytest

from lab.clients.cstp_client import Tunnel, log_in, open_tunnel
from lab.network import SERVER_IPV4
from lab.server import PASSWORD, rule_document
from lab.timeouts import STRICT, eventually
from lab.traffic.password_guesses import guess_at_rate
from tests.hostile.arena import USERS

RATE = float(os.environ.get("OCSENTRY_SPRAY_RATE", "100"))
AT_ONCE = int(os.environ.get("OCSENTRY_SPRAY_AT_ONCE", "24"))
SOURCES = int(os.environ.get("OCSENTRY_SPRAY_SOURCES", "500"))
LOGINS = int(os.environ.get("OCSENTRY_SPRAY_LOGINS", "5"))
LOGIN_SECONDS = 2.0  # of a real login with its tunnel, the slowest of a hundred, on a machine that does nothing else
FIRST = IPv4Address("10.128.0.1")
NAMES = [*USERS, *(f"guessed{number}" for number in range(100))]


@pytest.fixture(scope="module")
def sources(started_arena):
    """Addresses that all belong to the hostile host."""
    host = started_arena.attacker
    host.namespace.ip("route add local 10.128.0.0/9 dev lo")
    host.gateway.ip(f"route add 10.128.0.0/9 via {host.ipv4} dev {host.gateway_device} onlink src {SERVER_IPV4}")
    yield [str(FIRST + number) for number in range(SOURCES)]
    host.namespace.ip("route del local 10.128.0.0/9 dev lo")
    host.gateway.ip("route del 10.128.0.0/9")


@pytest.fixture
def shipped_policy(arena):
    """The limits and detectors that a server has unless rules say otherwise."""
    before = arena.server.rule_file.read_text()
    arena.server.save_rule_file(rule_document([]))
    assert arena.server.command("reload_rules")["ok"]
    yield
    arena.server.save_rule_file(before)
    assert arena.server.command("reload_rules")["ok"]


@pytest.fixture(scope="module")
def home(started_arena):
    """A host that guesses nothing, and from which somebody has logged in before."""
    host = started_arena.server.network.add_host()
    assert log_in(host, "mallory", PASSWORD)
    return host


@pytest.fixture
def newcomers(arena):
    """Users whose passwords the server has yet to check: none of them has logged in."""
    names = [f"newcomer{number}" for number in range(LOGINS)]
    for name in names:
        arena.server.api.expect(201, "POST", "/api/v1/users", {"name": name, "password": PASSWORD})
    yield names
    for name in names:
        arena.server.api.call("DELETE", f"/api/v1/users/{name}")


def enter(host, user) -> Tunnel | None:
    cookie = log_in(host, user, PASSWORD)
    tunnel = open_tunnel(host, cookie) if cookie else None
    return tunnel if isinstance(tunnel, Tunnel) else None


def log_in_beside(arena, guessing, home, users) -> list[float]:
    """Seconds of each real login until its tunnel answers. Who is told to come again, comes again."""
    seconds = []
    guessing.await_answers()
    for user in users:
        began = time.monotonic()
        tunnel = eventually(partial(enter, home, user), bool, f"{user} gets in")
        assert tunnel.answers()
        seconds.append(time.monotonic() - began)
        tunnel.stream.close()
    arena.end_sessions()
    return sorted(seconds)


def check(guessing, seconds, record_property) -> None:
    found = guessing.found
    record_property("guesses", f"{found}, {found.rate:.1f} a second")
    record_property("logins, seconds", f"median {seconds[LOGINS // 2]:.3f}, 99 % {seconds[LOGINS * 99 // 100]:.3f}")
    assert found.accepted == 0
    assert found.refused + found.closed  # the policy of a new server closes connections after some
    if STRICT:
        assert seconds[LOGINS * 99 // 100] < LOGIN_SECONDS
        assert found.rate > 0.98 * RATE


def test_a_real_login_beside_guesses(arena, sources, home, newcomers, shipped_policy, record_property):
    with guess_at_rate(arena.attacker, RATE, AT_ONCE, sources, NAMES) as guessing:
        seconds = log_in_beside(arena, guessing, home, newcomers)
    check(guessing, seconds, record_property)


def test_a_real_login_beside_guesses_that_no_limit_holds_up(arena, sources, home, newcomers, record_property):
    with guess_at_rate(arena.attacker, RATE, AT_ONCE, sources, NAMES) as guessing:
        seconds = log_in_beside(arena, guessing, home, newcomers)
    check(guessing, seconds, record_property)
