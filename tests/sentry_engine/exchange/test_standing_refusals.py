# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine refuses by network alone is never more than what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry_engine import Engine, Policy, Reason
from sentry_engine.addresses import contains, pack_address
from sentry_engine.exchange.standing_refusals import StandingRefusals

NOW, WALL = 1000.0, 1_700_000_000.0
BASES = ("10.0.0.0", "10.0.0.128", "10.1.2.3", "0.0.0.0", "2001:db8::", "2001:db8:0:1::", "2001:db8::9", "::")


@st.composite
def networks(draw):
    address = ip_address(draw(st.sampled_from(BASES)))
    longest = address.max_prefixlen
    length = draw(st.sampled_from([0, 8, 16, 24, 25, 30, 31, 32, 48, 56, 63, 64, 65, 96, 127, 128]))
    return ip_network((address, min(length, longest)), strict=False)


ENDS = st.sampled_from([None, -5.0, 0.0, 10.0, 1000.0])
WEEK = [{"days": ["sun"], "from": "00:00", "to": "00:01", "zone": "UTC"}]  # not at WALL, a Tuesday
RULES = st.lists(st.tuples(st.booleans(), networks(), ENDS, st.booleans()), max_size=8)
NEVER = st.lists(networks().filter(lambda network: network.prefixlen), max_size=2)
OTHERS = st.lists(st.tuples(networks(), ENDS), max_size=4)


class Clocks:
    """Both clocks of an engine."""

    def __init__(self):
        self.now = NOW

    def monotonic(self):
        return self.now

    def wall(self):
        return WALL + self.now - NOW


def make_engine(rules, blocks, penalties, never, clocks):
    documents = []
    for number, (rejects, network, end, scheduled) in enumerate(rules):
        kind = "blacklist" if rejects else "whitelist"
        rule = {"id": f"r{number}", "type": kind, "remote_addr": str(network)}
        if scheduled:
            rule["schedule"] = WEEK
        documents.append(rule if end is None else rule | {"expires_at": _stamp(WALL + end)})
    policy = Policy.from_document({"wolfsentry": {"version": "1.6.3", "rules": documents}})
    engine = Engine(policy, core="reference", never_block=never, clock=clocks.monotonic, wall_clock=clocks.wall)
    for number, (network, end) in enumerate(blocks):
        engine.block(network, rule_id=f"block:{number}", expires_at=None if end is None else WALL + end)
    for network, end in penalties:
        engine.penalize(network, float("inf") if end is None else end, reason=Reason.PENALTY)
    return engine


def _stamp(unix):
    return datetime.fromtimestamp(unix, UTC).isoformat().replace("+00:00", "Z")


def probes(every):
    """Addresses at and beside the edges of every network."""
    for network in every:
        for number in (int(network[0]), int(network[-1])):
            for near in (number - 1, number, number + 1):
                if 0 <= near < 1 << network.max_prefixlen:
                    yield (ip_address(near) if network.version == 6 else type(network[0])(near))


@given(
    RULES,
    OTHERS,
    OTHERS,
    st.lists(networks().filter(lambda n: n.prefixlen), max_size=2),
    st.sampled_from([0.0, 9.0, 11.0]),
)
def test_they_are_never_wider_than_the_verdicts(rules, blocks, penalties, never, later):
    clocks = Clocks()
    with make_engine(rules, blocks, penalties, never, clocks) as engine:
        refused = list(StandingRefusals(engine).read(NOW))
        clocks.now = moment = NOW + later
        every = [*(rule[1] for rule in rules), *(network for network, _ in (*blocks, *penalties)), *never]
        for address in probes(every):
            packed = pack_address(address)
            held = any(contains(row.network, row.length, packed) and moment < row.until for row in refused)
            for event in ("connect", "dtls_handshake"):
                assert not (held and engine.explain(address, event=event).verdict.accepted), address


@given(RULES, OTHERS, OTHERS)
def test_what_has_no_end_and_no_schedule_is_all_there(rules, blocks, penalties):
    """Then the sets hold exactly what these tiers refuse."""
    rules = [(rejects, network, None, False) for rejects, network, _, _ in rules]
    blocks, penalties = ([(network, None) for network, _ in rows] for rows in (blocks, penalties))
    clocks = Clocks()
    with make_engine(rules, blocks, penalties, (), clocks) as engine:
        refused = list(StandingRefusals(engine).read(NOW))
        every = [*(rule[1] for rule in rules), *(network for network, _ in (*blocks, *penalties))]
        for address in probes(every):
            packed = pack_address(address)
            held = any(contains(row.network, row.length, packed) for row in refused)
            assert held is not engine.explain(address).verdict.accepted, address


def test_penalties_come_first_and_a_change_is_seen():
    clocks = Clocks()
    with make_engine([(True, ip_network("10.0.0.0/8"), None, False)], [], [], (), clocks) as engine:
        refusals = StandingRefusals(engine)
        assert [row.until for row in refusals.read(NOW)] == [float("inf")]
        engine.penalize("192.0.2.1", 30, reason=Reason.PENALTY)
        engine.block("192.0.2.2", rule_id="block:1", expires_at=WALL + 60)
        assert [row.until for row in refusals.read(NOW)] == [NOW + 30, pytest.approx(NOW + 60), float("inf")]
        engine.unblock("block:1")
        engine.clear_penalties("192.0.2.0/24")
        assert [row.length for row in refusals.read(NOW)] == [104]
