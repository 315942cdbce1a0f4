# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from admin_api.fleet.peers.messages import KNOWN_SERIALS, Gate, Message, Refusal
from admin_api.fleet.peers.refusals import MOST, PAUSE, Refusals
from tests.admin_api.fleet.conftest import Seen

KNOWN = {"n1": 3, "n2": 7}


def message(serial=1, *, sender="n1", epoch=3):
    more = {"kind": "let_go", "session": "ab" * 16, "generation": 1}
    return Message(sender=sender, epoch=epoch, serial=serial, **more)


def test_a_message_is_taken_once_and_messages_may_overtake_each_other():
    gate = Gate()
    taken = [gate.refusal(message(serial), "n1", KNOWN) for serial in (2, 1, 2, 3, 1)]
    assert taken == [None, None, Refusal.REPEATED, None, Refusal.REPEATED]
    assert gate.refusal(message(sender="n2", epoch=7), "n2", KNOWN) is None


@pytest.mark.parametrize(
    ("told", "certificate", "refusal"),
    [
        ({}, "n2", Refusal.CERTIFICATE),
        ({}, "", Refusal.CERTIFICATE),
        ({"sender": "n9"}, "n9", Refusal.UNKNOWN_NODE),
        ({"epoch": 2}, "n1", Refusal.OLD_EPOCH),
    ],
)
def test_what_is_refused(told, certificate, refusal):
    gate = Gate()
    assert gate.refusal(message(**told), certificate, KNOWN) is refusal
    assert gate.refusal(message(), "n1", KNOWN) is None, "it has used up no serial"


def test_a_node_that_has_joined_again_begins_anew_and_its_old_epoch_is_over():
    gate = Gate()
    assert gate.refusal(message(5), "n1", KNOWN) is None
    assert gate.refusal(message(1, epoch=4), "n1", KNOWN) is None, "the database was not asked since"
    later = {**KNOWN, "n1": 4}
    assert gate.refusal(message(6), "n1", later) is Refusal.OLD_EPOCH
    assert gate.refusal(message(1, epoch=4), "n1", later) is Refusal.REPEATED
    assert gate.refusal(message(1, epoch=2), "n1", {**KNOWN, "n1": 2}) is None, "a restored database"


def test_serials_far_behind_are_refused_and_the_memory_is_bounded():
    gate = Gate()
    for serial in range(2, 4 * KNOWN_SERIALS):
        assert gate.refusal(message(serial), "n1", KNOWN) is None
    assert gate.refusal(message(1), "n1", KNOWN) is Refusal.REPEATED
    assert len(gate._heard["n1"].serials) <= 2 * KNOWN_SERIALS


@pytest.mark.parametrize(
    "wrong", [b"", b"{}", b"[]", b"\xff", message().model_dump_json().replace("let_go", "obey").encode()]
)
def test_what_is_no_message(wrong):
    with pytest.raises(ValueError, match=r"validation error"):
        Message.model_validate_json(wrong)


def test_a_newer_version_may_say_more():
    assert Message.model_validate_json(message().model_dump_json()[:-1] + ',"more":1}') == message()


def test_refusals_are_told_once_a_minute_of_each_source(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("admin_api.fleet.peers.refusals.lease_clock", lambda: now[0])
    seen = Seen()
    refusals = Refusals(seen)
    for _ in range(5):
        refusals.note("192.0.2.1", "", "certificate")
    refusals.note("192.0.2.1", "n1", "old_epoch")
    now[0] = PAUSE
    refusals.note("192.0.2.1", "", "certificate")
    told = [(one["reason"], one["earlier"]) for one in seen.of("fleet_peer_refused")]
    assert told == [("certificate", 0), ("old_epoch", 0), ("certificate", 4)]
    for number in range(2 * MOST):
        refusals.note(f"192.0.3.{number}", "", "certificate")
    assert len(refusals._told) == MOST
    assert refusals.count == 7 + 2 * MOST
