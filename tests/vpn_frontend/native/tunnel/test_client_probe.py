# SPDX-License-Identifier: GPL-3.0-or-later
"""``ask``: is the client of a session there? The answer is an event, once it is heard and not before."""

from __future__ import annotations

import select
import time

import pytest

from tests.vpn_frontend.native.dtls_lab import DPD_REQUEST, DPD_RESPONSE, PSK, QUIET
from vpn_frontend.gateway.interface import ChannelDown, SessionAlive

FORGOTTEN = 2.1  # seconds; a client heard in the last two needs no question


SAME_QUESTION = 1.0  # seconds in which it is not asked again


def hears_nothing(bench):
    assert not select.select([bench.gateway.fileno()], [], [], QUIET)[0]


def test_a_client_that_was_just_heard_is_not_asked(bench, wire):
    begun = time.monotonic()
    client, session = bench.tunnel()
    bench.gateway.ask(session)
    client.send(wire.frame(wire.dpd_response))  # if the machine was so busy that it is asked after all
    assert bench.wait(SessionAlive).session == session
    assert bench.gateway.stats()["dpd_sent"] == 0 or time.monotonic() - begun > FORGOTTEN


def test_a_silent_client_is_asked_and_its_answer_told_once(bench, wire):
    client, session = bench.tunnel()
    time.sleep(FORGOTTEN)
    bench.gateway.events()
    begun = time.monotonic()
    bench.gateway.ask(session)
    bench.gateway.ask(session)  # the same question is on its way
    bench.settle()
    assert client.read_frame() == (wire.dpd_request, b"")
    assert bench.gateway.stats()["dpd_sent"] == 1 or time.monotonic() - begun > SAME_QUESTION
    hears_nothing(bench)
    client.send(wire.frame(wire.dpd_response))
    assert bench.wait(SessionAlive).session == session
    client.send(wire.frame(wire.keepalive))
    hears_nothing(bench)


def test_an_answer_over_dtls_counts(lab):
    _, session, client = lab.up(PSK)
    time.sleep(FORGOTTEN)
    lab.gateway.events()
    lab.gateway.ask(session)
    assert client.read() == DPD_REQUEST
    client.send(DPD_RESPONSE)
    assert lab.bench.wait(SessionAlive).session == session


def test_who_has_no_channel_does_not_answer(bench):
    client, session = bench.tunnel()
    client.reset()
    bench.wait(ChannelDown)
    time.sleep(FORGOTTEN)
    bench.gateway.ask(session)
    hears_nothing(bench)


@pytest.mark.parametrize("command", ["ask", "resize"])
def test_a_session_that_is_gone_is_no_fault(bench, command):
    _, session = bench.tunnel()
    getattr(bench.gateway, command)(session + (1 << 32), *([1400] if command == "resize" else []))
