# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine on libwolfsentry, called from Python and through the gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cffi
import pytest

from sentry_engine import Action, Engine, PlanError, Policy, Reason
from sentry_engine.addresses import pack_address
from sentry_engine.verdict import REASONS, Event
from tests.sentry_engine.cores.native.test_core import GATE

try:
    import sentry_engine.wolfsentry.library  # noqa: F401
except ImportError as error:
    pytest.skip(f"libwolfsentry is optional: {error}", allow_module_level=True)

IN = {"direction-in": True, "family": "inet"}
BOXED, GREEN = {**IN, "penalty-boxed": True}, {**IN, "green-listed": True}
NTP = {**BOXED, "protocol": "udp", "remote": {"port": 123}}
TEN = {**GREEN, "remote": {"address": "10.0.0.0", "prefix-bits": 8}}
OFFICE = {"id": "office", "type": "whitelist", "remote_addr": "10.9.0.0/16", "action": "accept"}
Ask = Callable[..., tuple[Action, Reason]]


def load(*routes: dict[str, Any], **more: Any) -> Policy:
    policies = {"default-policies": {"default-policy": "reject"}}
    rules = {"wolfsentry": {"version": "1.6.3", "rules": [OFFICE]}}
    made = {"wolfsentry-config-version": 1, **more, **policies, "routes": list(routes)}
    return Policy.load(documents={"routes": made, "rules": rules})


@pytest.fixture
def open_engine():
    made = []

    def make(policy: Policy) -> Engine:
        made.append(Engine(policy, core="wolfsentry", clock=lambda: 1.0))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


def ask_through_gate(engine: Engine) -> Ask:
    ffi = cffi.FFI()
    ffi.cdef(GATE)
    table = ffi.cast("struct se_gate *", engine.gate_address)

    def ask(event: str, address: str, *, port: int = 0, now: float = 1.0, verified: bool = True) -> Any:
        request, verdict = ffi.new("struct se_request *"), ffi.new("struct se_verdict *")
        request.address, request.event = pack_address(address), Event[event.upper()]
        request.port, request.now, request.verified = port, int(now * 1e9), verified
        table.decide(table.engine, request, verdict)
        return list(Action)[verdict.action], REASONS[verdict.reason]

    return ask


@pytest.fixture(params=["python", "gate"])
def make_ask(request, open_engine):
    """Requests to one policy by either way."""

    def make(policy: Policy) -> tuple[Engine, Ask]:
        engine = open_engine(policy)
        if request.param == "gate":
            return engine, ask_through_gate(engine)

        def ask(event: str, address: str, **more: Any) -> Any:
            verdict = engine.decide(event, address, **{"now": 1.0, **more})
            return verdict.action, verdict.reason

        return engine, ask

    return make


REFUSED, LET_IN = (Action.REJECT, Reason.RULE), (Action.ACCEPT, Reason.RULE)


def test_the_library_decides_between_rules_and_the_rest(make_ask):
    engine, ask = make_ask(load(NTP, TEN))
    engine.penalize("10.0.0.0/8", 60.0, reason=Reason.PENALTY, now=1.0)
    assert ask("dtls_handshake", "10.0.0.1", port=123) == REFUSED
    assert ask("dtls_handshake", "10.9.0.1", port=123) == LET_IN
    assert ask("connect", "10.0.0.1", port=123) == LET_IN
    assert ask("connect", "192.0.2.1") == (Action.REJECT, Reason.DEFAULT)
    assert ask("connect", "2001:db8::1") == (Action.REJECT, Reason.DEFAULT)


def test_it_counts_sessions_and_failures(make_ask):
    update = {"config-update": {"max-connection-count": 2, "derog-thresh-for-penalty-boxing": 2}}
    _, ask = make_ask(load(TEN, **update))
    said = [ask(e, "10.0.0.1")[0] for e in ("session_start", "session_start", "session_start", "disconnect")]
    assert said == [Action.ACCEPT, Action.ACCEPT, Action.REJECT, Action.ACCEPT]
    assert [ask("auth_failure", "10.0.0.1", now=2.0)[0] for _ in range(2)] == [Action.ACCEPT, Action.REJECT]
    assert ask("connect", "10.0.0.1", now=3.0) == REFUSED


def test_who_may_be_spoofed_scores_nothing(make_ask):
    _, ask = make_ask(load(TEN, **{"config-update": {"derog-thresh-for-penalty-boxing": 1}}))
    for _ in range(3):
        assert ask("auth_failure", "10.0.0.1", verified=False) == LET_IN
    assert ask("auth_failure", "10.0.0.1") == REFUSED


def test_a_swap_is_in_force_by_either_way(make_ask):
    engine, ask = make_ask(load(TEN))
    engine.swap(load({**BOXED, "remote": {"address": "10.0.0.0", "prefix-bits": 8}}))
    assert ask("connect", "10.0.0.1") == REFUSED
    engine.block("192.0.2.0/24", rule_id="b")
    assert ask("connect", "192.0.2.1") == REFUSED
    engine.swap(Policy.from_document({"wolfsentry": {"version": "1", "rules": []}}))
    assert ask("connect", "10.0.0.1")[0] is Action.ACCEPT


def test_what_the_library_does_not_take_changes_nothing(make_ask):
    engine, ask = make_ask(load(TEN))
    with pytest.raises(PlanError, match="needs a protocol beside a port"):
        engine.swap(load({**BOXED, "remote": {"port": 1}}))
    assert ask("connect", "10.0.0.1") == LET_IN


def test_strangers_cannot_fill_the_memory(open_engine):
    events = [
        {"label": "made", "config": {"route-idle-time-for-purge": 0}},
        {"label": "maker", "aux-parent-event": "made", "match-actions": ["%track-peer-v1"]},
    ]
    with pytest.raises(PlanError, match=r"max-purgeable-routes.*idle-time-for-purge"):
        open_engine(load({**TEN, "parent-event": "maker"}, events=events))
    events[0]["config"] = {"route-idle-time-for-purge": 5}
    update = {"max-purgeable-routes": 2}
    engine = open_engine(load({**TEN, "parent-event": "maker"}, events=events, **{"config-update": update}))
    assert all(engine.decide("connect", f"10.0.0.{n}").accepted for n in range(20))


def test_explain_names_the_route(open_engine):
    explained = open_engine(load(NTP, TEN)).explain("10.0.0.1")
    assert (explained.verdict.rule_id, [s.tier for s in explained.steps if s.decisive]) == ("route:1", ["routes"])
