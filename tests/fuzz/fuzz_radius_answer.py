# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of a RADIUS server: any datagram, and any attributes that the server has signed."""

import hashlib
import hmac
import sys

import atheris

with atheris.instrument_imports():
    from vpn_frontend.auth.radius import grant
    from vpn_frontend.auth.radius.method import read_message
    from vpn_frontend.radius.packets import Answer, AnswerError, Code, Question, Request
    from vpn_frontend.settings import Overrides

SECRET = b"secret"
REQUEST = Request(Question(Code.ACCESS_REQUEST, [("User-Name", "alice")], b"password"), 7, SECRET)
AUTHENTICATOR = REQUEST.data[4:20]


def signed(code: int, attributes: bytes) -> bytes:
    body = b"\x50\x12" + bytes(16) + attributes
    head = bytes((code, 7)) + ((20 + len(body)) & 0xFFFF).to_bytes(2, "big")
    body = b"\x50\x12" + hmac.new(SECRET, head + AUTHENTICATOR + body, "md5").digest() + attributes
    return head + hashlib.md5(head + AUTHENTICATOR + body + SECRET).digest() + body


def read_overrides(answer: Answer) -> Overrides:
    return grant.read_overrides(answer, bandwidth_unit=1000)


def fuzz_one(data: bytes) -> None:
    try:
        REQUEST.read_answer(data, require_message_authenticator=True)
    except AnswerError:
        pass
    else:
        raise AssertionError("an answer without the secret")
    if not data:
        return
    try:
        answer = REQUEST.read_answer(signed(data[0], data[1:]), require_message_authenticator=True)
    except AnswerError:
        return
    assert answer.code in {2, 3, 11}
    assert read_message(answer).isprintable()
    assert all(group.isprintable() for group in grant.read_groups(answer))
    for read in (read_overrides, grant.read_interim, grant.check_service):
        try:
            read(answer)
        except grant.GrantError as error:
            assert str(error).isprintable()


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
