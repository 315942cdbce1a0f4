# SPDX-License-Identifier: GPL-3.0-or-later
"""Encoding of requests, and what an answer has to be to count."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vpn_frontend.radius.scripted_server import SECRET, attribute, build_answer, vendor_attribute
from vpn_frontend.radius.attributes import Attribute
from vpn_frontend.radius.packets import (
    MAX_PACKET,
    AnswerError,
    Code,
    Question,
    Request,
    UnsignedAnswerError,
    clip_text,
    read_attributes,
)

QUESTION = Question(Code.ACCESS_REQUEST, [("User-Name", "alice"), ("Acct-Session-Id", "0123")], b"secret")


@pytest.fixture
def request_():
    return Request(QUESTION, 7, SECRET)


def read(request, data, *, required=True):
    return request.read_answer(data, require_message_authenticator=required)


def test_an_access_request_is_signed_first_and_hides_the_password(request_):
    data = request_.data
    assert (data[0], data[1], int.from_bytes(data[2:4], "big")) == (1, 7, len(data))
    assert data[20] == Attribute.MESSAGE_AUTHENTICATOR
    assert b"alice" in data
    assert b"secret" not in data
    assert "secret" not in repr(QUESTION)
    assert Request(QUESTION, 7, SECRET).data[4:20] != data[4:20], "an authenticator for each request"


@pytest.mark.parametrize("password", [b"", b"x" * 129, b"a\0b"])
def test_a_password_that_no_server_takes_is_not_sent(password):
    with pytest.raises(ValueError, match="password"):
        Request(Question(Code.ACCESS_REQUEST, [], password), 1, SECRET)


def test_an_answer_is_read(request_):
    attributes = attribute(25, b"one") + vendor_attribute(311, 28, b"\x0a\0\0\1") + attribute(25, b"two")
    answer = read(request_, build_answer(request_.data, 2, attributes))
    assert answer.code is Code.ACCESS_ACCEPT
    assert answer.all(Attribute.CLASS) == (b"one", b"two")
    assert answer.all((311, 28)) == (b"\x0a\0\0\1",)


def test_padding_after_the_packet_is_ignored(request_):
    assert read(request_, build_answer(request_.data, 2, attribute(18, b"hi")) + b"\0" * 9).all(18) == (b"hi",)


@pytest.mark.parametrize("code", [2, 3, 11])
def test_an_unsigned_answer_counts_only_where_it_is_allowed(request_, code):
    unsigned = build_answer(request_.data, code, signed=False)
    with pytest.raises(UnsignedAnswerError):
        read(request_, unsigned)
    assert read(request_, unsigned, required=False).code == code


def forged(data):
    return data[:4] + bytes(16) + data[20:]


def bad_signature(request):
    answer = build_answer(request, 2)
    at = answer.index(attribute(80, b"")[:1] + b"\x12") + 2
    wrong = answer[:at] + bytes(16) + answer[at + 16 :]
    return wrong[:4] + hashlib.md5(wrong[:4] + request[4:20] + wrong[20:] + SECRET).digest() + wrong[20:]


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda request: b"",
        lambda request: b"\2\7",
        lambda request: build_answer(request, 2)[:19],
        lambda request: build_answer(request, 2)[:-1],
        lambda request: build_answer(request, 2, secret=b"another"),
        lambda request: build_answer(request, 2, identifier=8),
        lambda request: build_answer(request, 5),
        lambda request: build_answer(request, 1),
        lambda request: build_answer(request, 44),
        lambda request: forged(build_answer(request, 2)),
        bad_signature,
        lambda request: build_answer(request, 2, attribute(80, b"short"), signed=False),
        lambda request: build_answer(request, 2, b"\x12\x00"),
        lambda request: build_answer(request, 2, b"\x12\x01"),
        lambda request: build_answer(request, 2, b"\x12"),
        lambda request: build_answer(request, 2, b"\x12\xff1234"),
        lambda request: build_answer(request, 2, attribute(33, b"proxy")),
        lambda request: build_answer(request, 2, attribute(18, b"x" * 253) * 17),
    ],
    ids=[
        "empty", "two bytes", "no header", "truncated", "another secret", "another identifier", "accounting code",
        "request code", "unknown code", "no authenticator", "bad signature", "short signature", "length 0", "length 1",
        "half an attribute", "attribute beyond the end", "foreign Proxy-State", "over 4096 bytes",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_dropped(request_, make, required):
    with pytest.raises(AnswerError):
        read(request_, make(request_.data), required=required)


def test_every_cut_of_an_answer_is_dropped(request_):
    whole = build_answer(request_.data, 2, attribute(25, b"staff") + vendor_attribute(311, 28, b"1234"))
    assert read(request_, whole)
    for end in range(len(whole)):
        with pytest.raises(AnswerError):
            read(request_, whole[:end])


@given(st.binary(max_size=MAX_PACKET + 64), st.booleans())
def test_any_bytes_are_an_answer_or_dropped(data, header):
    request = Request(QUESTION, 7, SECRET)
    with pytest.raises(AnswerError):
        read(request, b"\2\7" + (len(data) + 4).to_bytes(2, "big") + data if header else data)


@given(st.binary(max_size=600))
def test_any_attributes_of_a_server_are_read_or_refused(body):
    request = Request(QUESTION, 7, SECRET)
    try:
        values = read_attributes(body)
    except AnswerError:
        values = None
    answer = build_answer(request.data, 2, body)
    try:
        assert read(request, answer).values.keys() >= (values or {}).keys()
    except AnswerError:
        assert values is None or {33, 80} & values.keys()


def test_an_accounting_request_is_answered_without_signature():
    request = Request(Question(Code.ACCOUNTING_REQUEST, [("Acct-Status-Type", 1)]), 3, SECRET)
    assert read(request, build_answer(request.data, 5, signed=False)).code is Code.ACCOUNTING_RESPONSE
    with pytest.raises(AnswerError):
        read(request, build_answer(request.data, 2))


@given(st.text(max_size=300))
def test_a_clipped_text_fits_one_attribute(text):
    clipped = clip_text(text)
    assert len(clipped.encode()) <= 253
    assert text.startswith(clipped)
