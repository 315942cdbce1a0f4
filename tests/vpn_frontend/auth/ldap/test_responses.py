# SPDX-License-Identifier: GPL-3.0-or-later
"""Responses, whole and cut, right and random."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sansldap import LDAPClient, LDAPControl, LDAPResultCode, LDAPServer, PartialAttribute

from vpn_frontend.auth.ldap.account_state import PASSWORD_POLICY, BindAccepted, judge_bind
from vpn_frontend.auth.ldap.responses import (
    MAX_MESSAGE,
    Entry,
    Reference,
    Response,
    ResponseError,
    Result,
    message_length,
    parse_response,
)
from vpn_frontend.auth.result import WRONG, Refused


def served(send, request=lambda client: client.search_request()):
    """The bytes that another implementation sends for a response."""
    client, server = LDAPClient(), LDAPServer()
    request(client)
    server.receive(client.data_to_send())
    send(server)
    return server.data_to_send()


ENTRY = served(
    lambda server: server.search_result_entry(
        1, "uid=é,dc=example", [PartialAttribute("CN", [b"a", b"b" * 300]), PartialAttribute("uid", [])]
    )
)
DONE = served(lambda server: server.search_result_done(1, LDAPResultCode.NO_SUCH_OBJECT, "dc=x", "no such\0"))
REFERENCE = served(lambda server: server.search_result_reference(1, ["ldap://a"]))
BIND = served(
    lambda server: server.bind_response(1, controls=[LDAPControl(PASSWORD_POLICY, False, b"\x30\x03\x81\x01\x02")]),
    lambda client: client.bind_simple("cn=a", "b"),
)


def test_what_another_implementation_sends_is_read():
    assert parse_response(ENTRY).body == Entry("uid=é,dc=example", {"cn": (b"a", b"b" * 300), "uid": ()})
    assert parse_response(DONE) == Response(1, 0x65, Result(32, "no such\0"))
    assert parse_response(REFERENCE).body == Reference()
    assert parse_response(BIND).body.controls == {PASSWORD_POLICY: b"\x30\x03\x81\x01\x02"}


@pytest.mark.parametrize("message", [ENTRY, DONE, REFERENCE, BIND], ids=["entry", "done", "reference", "bind"])
def test_a_cut_message_is_waited_for_and_never_read(message):
    for end in range(len(message)):
        length = message_length(message[:end])
        assert length is None or length == len(message)
        with pytest.raises(ResponseError):
            parse_response(message[:end])


@given(st.binary(max_size=64))
def test_random_bytes_are_errors_or_messages(data):
    for read in (message_length, parse_response):
        with contextlib.suppress(ResponseError):
            read(data)


@given(st.sampled_from([ENTRY, DONE, REFERENCE, BIND]), st.data())
def test_a_changed_byte_is_an_error_or_a_message(message, data):
    place = data.draw(st.integers(0, len(message) - 1))
    changed = message[:place] + bytes([data.draw(st.integers(0, 255))]) + message[place + 1 :]
    with contextlib.suppress(ResponseError):
        parse_response(changed)


def test_a_length_beyond_the_bound_is_refused_before_the_message_comes():
    with pytest.raises(ResponseError, match="at most"):
        message_length(b"\x30\x84" + MAX_MESSAGE.to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\x30\x03\x81\x01\x00", "password_expired"),
        (b"\x30\x03\x81\x01\x02", "password_must_change"),
        (b"\x30\x05\xa0\x03\x80\x01\x05", None),  # time before expiration
        (b"\x30\x00", None),
        (b"\x31", None),
        (b"", None),
    ],
    ids=["expired", "reset", "warning", "empty", "cut", "absent"],
)
def test_the_password_policy_control_refuses_a_right_password(value, reason):
    judged = judge_bind(Result(0, "", {PASSWORD_POLICY: value}))
    assert isinstance(judged, BindAccepted) if reason is None else judged.reason == reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (19, "user_locked"),
        (32, "user_unknown"),
        (34, "user_unknown"),
        (48, "no_password"),
        (49, "wrong_password"),
        (50, "bind_not_allowed"),
        (53, "user_disabled"),
    ],
)
def test_a_refused_bind_has_the_words_of_a_wrong_password(code, reason):
    """Servers refuse locked accounts with 19 and 53 whatever the password is: the state is for the log alone."""
    assert judge_bind(Result(code, "the account is locked", {})) == Refused(WRONG, reason)


@pytest.mark.parametrize("code", [1, 2, 3, 8, 10, 11, 13, 51, 52, 80, 9999])
def test_a_bind_that_the_server_could_not_judge_says_nothing_of_the_user(code):
    assert judge_bind(Result(code, "data 532", {})) is None
