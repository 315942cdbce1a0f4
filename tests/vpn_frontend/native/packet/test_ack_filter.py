# SPDX-License-Identifier: GPL-3.0-or-later
"""Of ACKs that arrive together only the last leaves, and it carries the information of all."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpn_frontend.native.inner_packets import ACK, CWR, ECE, FIN, PSH, SYN, by_flow, make_trace, segment, tcp
from tests.vpn_frontend.native.offload_harness import LOSS

START = 0xFFFFF000  # of what is acknowledged: sequence numbers go round on the way
STRETCH = 65535  # GW_ACK_STRETCH
SACK = 5


def stamps(own=7, echo=9):
    return b"\x01\x01\x08\x0a" + struct.pack("!II", own, echo)


def sack(*blocks):
    body = b"".join(struct.pack("!II", *((START + edge) & 0xFFFFFFFF for edge in block)) for block in blocks)
    return b"\x01\x01" + bytes([SACK, 2 + len(body)]) + body


def acknowledge(number, *, ident=0, seq=5, **options):
    return tcp(b"", seq=seq, ack=(START + number) & 0xFFFFFFFF, ident=ident, **options)


def leaving(offloads, packets, **options):
    merged = offloads.merge(packets, acks=True, **options)
    assert all(header == bytes(10) for header, _ in merged)
    return [packet for _, packet in merged]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("options", [b"", stamps()])
def test_the_last_stands_for_all(offloads, version, options):
    packets = [acknowledge(2000 * n, ident=n, version=version, options=options, window=500 - n) for n in range(20)]
    assert leaving(offloads, packets) == packets[-1:]
    assert [packet for _, packet in offloads.merge(packets)] == packets
    assert [packet for _, packet in offloads.merge(packets, tcp=False, acks=True)] == packets


def test_flows_keep_their_own(offloads):
    packets = [acknowledge(100 * n, flow=1 + n % 3) for n in range(12)]
    assert leaving(offloads, packets) == packets[-3:]


def test_blocks_that_are_repeated_or_behind_are_said(offloads):
    packets = [
        acknowledge(100, options=sack((300, 400))),
        acknowledge(200, options=sack((500, 600), (300, 400))),
        acknowledge(450, options=sack((500, 700))),
        acknowledge(800),
    ]
    for count in range(1, 5):
        assert leaving(offloads, packets[:count]) == packets[count - 1 : count]


def test_of_duplicates_that_tell_more_of_a_known_loss_the_last_leaves(offloads):
    repeated = [acknowledge(100, options=sack((200, 200 + LOSS + 1400 * n))) for n in range(5)]
    assert leaving(offloads, repeated) == repeated[-1:]
    further = acknowledge(100, options=sack((20000, 21400), (200, 200 + LOSS + 5600)))
    assert leaving(offloads, [*repeated, further]) == [further]
    assert leaving(offloads, [*repeated, further, acknowledge(30000)])[:-1] == []


def test_duplicates_leave_until_they_tell_of_a_loss(offloads):
    packets = [acknowledge(100, options=sack((200, 200 + 1460 * n))) for n in range(1, 9)]
    assert leaving(offloads, packets) == [*packets[:2], packets[-1]]


def test_of_large_segments_three_duplicates_leave_too(offloads):
    """A sender may wait for three (RFC 5681), also where one of them selects more than three of Ethernet."""
    packets = [acknowledge(100, options=sack((200, 200 + 8960 * n))) for n in range(1, 9)]
    assert leaving(offloads, packets, loss=3 * 9000) == [*packets[:3], packets[-1]]


def test_one_acknowledges_no_more_than_a_merging_receiver(offloads):
    packets = [acknowledge(3000 * n) for n in range(50)]
    left = leaving(offloads, packets)
    numbers = [struct.unpack("!I", packet[28:32])[0] for packet in left]
    assert len(left) == 3
    assert all((after - before) & 0xFFFFFFFF <= STRETCH + 3000 for before, after in pairwise(numbers))
    assert left[-1] == packets[-1]


def _pairs():
    base = acknowledge(100)
    block = acknowledge(100, options=sack((300, 400)))
    damaged = bytearray(acknowledge(200))
    damaged[-1] ^= 1
    return {
        "duplicate": [base, base],
        "duplicate without the blocks": [acknowledge(100, options=sack((300, 300 + LOSS))), base],
        "duplicate that tells the same": 2 * [acknowledge(100, options=sack((300, 300 + LOSS)))],
        "duplicate that tells less": [
            acknowledge(100, options=sack((300, 300 + LOSS))),
            acknowledge(100, options=sack((300, 300 + LOSS - 1))),
        ],
        "duplicate before a loss is known": [
            acknowledge(100, options=sack((300, 300 + LOSS - 1))),
            acknowledge(100, options=sack((300, 300 + LOSS))),
        ],
        "loss known of data that is acknowledged": [
            acknowledge(LOSS + 300, options=sack((LOSS + 400, LOSS + 500), (0, LOSS))),
            acknowledge(LOSS + 300, options=sack((LOSS + 400, LOSS + 600))),
        ],
        "block that ends before it begins": [
            acknowledge(100, options=sack((50000, 300))),
            acknowledge(100, options=sack((50000, 300), (60000, 60100))),
        ],
        "older": [base, acknowledge(50)],
        "duplicate with another window": [base, acknowledge(100, window=0)],
        "other sequence number": [base, acknowledge(200, seq=6)],
        "echo of congestion": [base, acknowledge(200, flags=ACK | ECE)],
        "earlier echo of congestion": [acknowledge(100, flags=ACK | ECE), acknowledge(200)],
        "window reduced": [acknowledge(100, flags=ACK | CWR), acknowledge(200)],
        "pushed": [acknowledge(100, flags=ACK | PSH), acknowledge(200)],
        "end": [base, acknowledge(200, flags=ACK | FIN)],
        "beginning": [acknowledge(100, flags=ACK | SYN), acknowledge(200)],
        "data": [base, tcp(b"data", seq=5, ack=START + 200)],
        "after data": [tcp(b"data", seq=1, ack=START + 100), acknowledge(200)],
        "other time": [acknowledge(100, options=stamps()), acknowledge(200, options=stamps(own=8))],
        "other echo": [acknowledge(100, options=stamps()), acknowledge(200, options=stamps(echo=8))],
        "time lost": [acknowledge(100, options=stamps()), acknowledge(200)],
        "block lost": [block, acknowledge(200)],
        "block cut": [block, acknowledge(200, options=sack((301, 400)))],
        "block received twice": [acknowledge(100, options=sack((50, 100))), acknowledge(200, options=sack((50, 100)))],
        "block of a block received twice": [
            acknowledge(100, options=sack((320, 330), (300, 400))),
            acknowledge(500),
        ],
        "other option": [acknowledge(100, options=b"\x1e\x04ab"), acknowledge(200, options=b"\x1e\x04ab")],
        "end of options": [acknowledge(100, options=bytes(4)), acknowledge(200, options=bytes(4))],
        "option longer than the header": [acknowledge(100, options=b"\x01\x01\x08\x0a"), acknowledge(200)],
        "option of no length": [acknowledge(100, options=b"\x01\x01\x05\x00"), acknowledge(200)],
        "block of no length": [acknowledge(100, options=b"\x01\x01\x05\x02"), acknowledge(200)],
        "no room for a length": [acknowledge(100, options=b"\x01\x01\x01\x05"), acknowledge(200)],
        "other ttl": [base, acknowledge(200, ttl=63)],
        "marked on the way": [base, acknowledge(200, tos=3)],
        "damaged": [base, bytes(damaged)],
    }


@pytest.mark.parametrize("name", _pairs())
def test_what_says_more_than_a_number_stays(offloads, name):
    packets = _pairs()[name]
    assert leaving(offloads, packets) == packets


class Sender:
    """What a TCP sender makes of the acknowledgements it gets (RFC 9293, 5681, 2018, 2883, 6675, 7323)."""

    def __init__(self, unit):
        self.unit = unit  # bytes
        self.number, self.window, self.duplicates = None, None, 0
        self.received: set[int] = set()
        self.recent = None
        self.told_of_twice = []

    def take(self, number, window, blocks, times):
        if self.number is None or number > self.number:
            self.number, self.duplicates = number, 0
        elif number == self.number:
            self.duplicates += 1
        if number == self.number:
            self.window = window
        twice = blocks[:1] if blocks and (blocks[0][0] < number or self._within(blocks)) else []
        self.told_of_twice += twice
        self.recent = times
        for start, end in blocks:
            self.received.update(range(start, end))
        self.received = {byte for byte in self.received if byte >= self.number}

    @staticmethod
    def _within(blocks):
        return len(blocks) > 1 and blocks[1][0] <= blocks[0][0] and blocks[0][1] <= blocks[1][1]

    @property
    def _knows_of_loss(self):
        """Then duplicates are not counted."""
        length = -(-LOSS // self.unit)
        return any(self.received.issuperset(range(byte, byte + length)) for byte in self.received)

    @property
    def state(self):
        duplicates = None if self._knows_of_loss else self.duplicates
        return self.number, self.window, duplicates, self.received, self.recent, self.told_of_twice


edges = st.integers(0, 40)
block = st.tuples(edges, st.integers(1, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))
# number, whether it is a step onwards; window; blocks; time
act = st.tuples(
    st.integers(-1, 6), st.sampled_from([500, 500, 501]), st.lists(block, max_size=3), st.sampled_from([1, 1, 1, 2])
)


@settings(max_examples=500, deadline=None)
@given(st.lists(act, min_size=1, max_size=30), st.booleans(), st.sampled_from([1, 1460]))
def test_the_sender_knows_what_it_would_have_known(offloads, plan, keep_blocks, unit):
    number, said, blocks = 10, {}, []
    for index, (step, window, new, when) in enumerate(plan):
        number = max(0, number + step)
        blocks = [b for b in (new + blocks if keep_blocks else new) if not keep_blocks or b[0] > number][:3]
        options = stamps(own=when) + (sack(*((unit * start, unit * end) for start, end in blocks)) if blocks else b"")
        said[index] = (number, window, list(blocks), when)
        plan[index] = acknowledge(unit * number, ident=index, window=window, options=options)
    left = [struct.unpack("!H", packet[4:6])[0] for packet in leaving(offloads, plan)]
    assert left == sorted(set(left))
    assert left[-1] == len(plan) - 1
    all_of_them, those_that_left = Sender(unit), Sender(unit)
    for index, what in said.items():
        all_of_them.take(*what)
        if index in left:
            those_that_left.take(*what)
    assert those_that_left.state == all_of_them.state


@settings(max_examples=300, deadline=None)
@given(st.lists(segment, max_size=60))
def test_nothing_else_is_missing_and_order_is_kept(offloads, plan):
    packets = make_trace(plan)
    sent, left = by_flow(packets), by_flow(offloads.there_and_back(packets, acks=True))
    assert left.keys() == sent.keys()
    for flow, of_flow in sent.items():
        following = iter(of_flow)
        missing = []
        for packet in left[flow]:
            for candidate in following:
                if candidate == packet:
                    break
                missing.append(candidate)
            else:
                pytest.fail("a packet that was not sent, or out of its order")
        missing += following
        assert all(is_pure(packet) for packet in missing)


def is_pure(packet):
    at = 20 if packet[0] >> 4 == 4 else 40
    return packet[at + 13] == ACK and len(packet) == at + (packet[at + 12] >> 4) * 4
