# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpn_frontend.protocol.constants import MAX_TLS_RECORD
from vpn_frontend.protocol.cstp import DISCONNECT, DisconnectReason, disconnect_frame, frame, parse_disconnect


def test_a_frame_is_its_header_and_payload():
    assert frame(DISCONNECT, b"abc") == b"STF\x01\x00\x03\x05\x00abc"


def test_a_payload_too_large_is_refused():
    assert len(frame(DISCONNECT, bytes(MAX_TLS_RECORD))) == 8 + MAX_TLS_RECORD
    with pytest.raises(ValueError, match="16385"):
        frame(DISCONNECT, bytes(MAX_TLS_RECORD + 1))


@given(st.text())
def test_a_close_message_is_printable_ascii_of_one_line(text):
    sent = disconnect_frame(text)
    assert sent[:4] == b"STF\x01"
    assert int.from_bytes(sent[4:6], "big") == len(sent) - 8
    assert sent[8] == DisconnectReason.USER
    assert all(0x20 <= byte < 0x7F for byte in sent[9:])


def test_the_words_of_a_close_message_are_kept():
    assert disconnect_frame("Blocked: brute force").endswith(b"\xb0Blocked: brute force")


@pytest.mark.parametrize(
    ("payload", "final"),
    [
        (b"", False),
        (b"\xb0", True),
        (b"\xb0user quit", True),
        (b"\x70error", True),
        (b"\x91again", False),
        (b"\xd1pause", False),
        (b"\x00", False),
        (b"\xff?", False),
        # AnyConnect, which comes back with its cookie whatever the byte says.
        (b"\xb0reinitiate tunnel to negotiate a different MTU", False),
    ],
)
def test_only_a_reason_that_ends_the_session_is_final(payload, final):
    assert parse_disconnect(payload).final is final


@given(st.binary(max_size=2000))
def test_any_disconnect_is_read_to_printable_text(payload):
    message = parse_disconnect(payload)
    assert message.text.isascii()
    assert message.text == "" or message.text.isprintable()
    assert len(message.text) <= 200
