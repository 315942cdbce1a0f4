# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine refuses by network alone is never more than what it refuses."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry_engine import Engine, Policy, Reason
from sentry_engine.addresses import contains, pack_address, pack_network
from sentry_engine.exchange import standing_refusals
from sentry_engine.exchange.standing_refusals import Rank, Refusal, StandingRefusals

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
        refused = StandingRefusals(engine).read_changes(NOW).new
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
        refused = StandingRefusals(engine).read_changes(NOW).new
        every = [*(rule[1] for rule in rules), *(network for network, _ in (*blocks, *penalties))]
        for address in probes(every):
            packed = pack_address(address)
            held = any(contains(row.network, row.length, packed) for row in refused)
            assert held is not engine.explain(address).verdict.accepted, address


def test_a_change_is_read_alone():
    clocks = Clocks()
    with make_engine([(True, ip_network("10.0.0.0/8"), None, False)], [], [], (), clocks) as engine:
        engine.block("192.0.2.1", rule_id="block:0")
        engine.penalize("192.0.2.3", 30, reason=Reason.PENALTY)
        refusals = StandingRefusals(engine)
        first = refusals.read_changes(NOW)
        assert first.is_whole
        assert [row.rank for row in first.new] == [Rank.PENALTY, Rank.BLOCK, Rank.RULE]
        assert refusals.read_changes(NOW) == ([], [], False)
        engine.block("192.0.2.2", rule_id="block:1", expires_at=WALL + 60)
        (added,) = refusals.read_changes(NOW).new
        assert added == Refusal(*pack_network("192.0.2.2/32"), pytest.approx(NOW + 60), Rank.BLOCK)
        engine.unblock("block:1")
        engine.clear_penalties("192.0.2.0/24")
        gone, new, _ = refusals.read_changes(NOW)
        assert {row.network for row in gone} == {pack_address("192.0.2.2"), pack_address("192.0.2.3")}
        assert not new


def test_a_new_policy_reads_the_blocks_again_only_if_it_changes_what_is_exempt():
    clocks = Clocks()
    with make_engine([], [(ip_network("192.0.2.0/31"), None)], [], (), clocks) as engine:
        refusals = StandingRefusals(engine)
        refusals.read_changes(NOW)
        for rules, whole in (([("blacklist", "10.0.0.0/8")], False), ([("whitelist", "192.0.2.1/32")], True)):
            documents = [{"id": kind, "type": kind, "remote_addr": network} for kind, network in rules]
            engine.swap(Policy.from_document({"wolfsentry": {"version": "1.6.3", "rules": documents}}))
            read = refusals.read_changes(NOW)
            assert read.is_whole is whole
            assert len(read.new) == 1  # the rule, then what is left of the block
            assert refusals.read_changes(NOW) == ([], [], False)


def test_the_end_of_an_accepting_rule_is_read():
    clocks = Clocks()
    accepting = [(False, ip_network("192.0.2.0/24"), 10.0, False), (False, ip_network("192.0.2.7/32"), 20.0, False)]
    with make_engine(accepting, [(ip_network("192.0.2.7/32"), None)], [], (), clocks) as engine:
        refusals = StandingRefusals(engine)
        assert refusals.read_changes(NOW).new == []
        assert refusals.read_changes(NOW + 9) == ([], [], False)
        assert refusals.read_changes(NOW + 10).new == [], "the other rule exempts it still"
        read = refusals.read_changes(NOW + 20)
        assert [row.network for row in read.new] == [pack_address("192.0.2.7")]
        assert refusals.read_changes(NOW + 20) == ([], [], False)


def test_a_block_that_found_no_room_is_read_when_there_is(monkeypatch):
    monkeypatch.setattr(standing_refusals, "MAX_STANDING", 4)
    clocks = Clocks()
    blocks = [(ip_network(f"192.0.2.{2 * number}/32"), None) for number in range(6)]
    with make_engine([], blocks, [], (), clocks) as engine:
        refusals = StandingRefusals(engine)
        assert len(refusals.read_changes(NOW).new) == 4
        for number in range(3):
            engine.unblock(f"block:{number}")
        assert len(refusals.read_changes(NOW).gone) == 3
        assert {row.network for row in refusals.read_changes(NOW).new} == {
            pack_address(f"192.0.2.{n}") for n in (6, 8, 10)
        }


CHANGES = st.lists(
    st.tuples(st.sampled_from(["block", "unblock", "penalize", "clear", "swap", "wait"]), networks(), ENDS), max_size=12
)


@given(RULES, OTHERS, NEVER, CHANGES)
def test_what_is_read_in_changes_is_what_is_read_at_once(rules, blocks, never, changes):
    clocks = Clocks()
    with make_engine(rules, blocks, [], never, clocks) as engine:
        refusals = StandingRefusals(engine)
        read = Counter()
        for number, (change, network, end) in enumerate([("wait", None, 0.0), *changes]):
            if change == "block":
                engine.block(network, rule_id=f"block:{number % 5}", expires_at=end and WALL + end)
            elif change == "unblock":
                engine.unblock(f"block:{number % 5}")
            elif change == "penalize":
                engine.penalize(network, float("inf") if end is None else end, reason=Reason.PENALTY)
            elif change == "clear":
                engine.clear_penalties(network)
            elif change == "swap":
                kind = "whitelist" if end is None else "blacklist"
                rule = {"id": "one", "type": kind, "remote_addr": str(network)}
                engine.swap(Policy.from_document({"wolfsentry": {"version": "1.6.3", "rules": [rule]}}))
            elif end:
                clocks.now += abs(end)
            read_on = refusals.read_changes(clocks.now)
            read = Counter() if read_on.is_whole else read
            assert not Counter(read_on.gone) - read
            read = read - Counter(read_on.gone) + Counter(read_on.new)
        at_once = Counter(StandingRefusals(engine).read_changes(clocks.now).new)
        live = Counter({row: count for row, count in read.items() if row.until > clocks.now})
        assert live == at_once
