# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a conversation: groups of the system, and questions without answers."""

import os
import pwd
import socket
from types import SimpleNamespace

import pytest

from ocsentry.privileges.helper.protocol import receive_message, send_message
from ocsentry.privileges.pam.child import Talk, groups_of
from ocsentry.privileges.pam.libpam import ECHO_OFF, ECHO_ON, ERROR_MSG, TEXT_INFO, Message


def test_groups_of_the_system_count_from_a_number_on(monkeypatch):
    monkeypatch.setattr(pwd, "getpwnam", lambda name: SimpleNamespace(pw_gid=0))
    monkeypatch.setattr(os, "getgrouplist", lambda name, group: [0, 1, 2, 4_000_000_000])
    assert groups_of("anybody", 0) == ["root", "daemon", "bin"]  # the last number has no name
    assert groups_of("anybody", 2) == ["bin"]
    assert groups_of("anybody", 1000) == []


def test_users_who_are_none_of_the_system_have_no_groups():
    assert groups_of("nobody of that name", 0) == []


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


BATCH = [Message(ERROR_MSG, b"e"), Message(ECHO_OFF, b"p"), Message(TEXT_INFO, b"\xff"), Message(ECHO_ON, b"q")]


def test_answers_go_to_the_prompts_of_a_batch(ends):
    server, child = ends
    send_message(server, {"answers": ["1", "2"]})
    assert Talk(child).ask(BATCH) == [b"", b"1", b"", b"2"]
    asked, _ = receive_message(server)
    assert asked == {
        "prompts": [{"text": "p", "echo": False}, {"text": "q", "echo": True}],
        "messages": ["e", "\ufffd"],
        "changing": False,
    }


@pytest.mark.parametrize("answers", [[], ["1"], ["1", "2", "3"]], ids=len)
def test_another_number_of_answers_ends_the_login(ends, answers):
    server, child = ends
    send_message(server, {"answers": answers})
    assert Talk(child).ask(BATCH) is None


def test_a_server_that_is_gone_ends_the_login(ends):
    server, child = ends
    server.shutdown(socket.SHUT_WR)
    assert Talk(child).ask(BATCH) is None


def test_messages_alone_wait_for_no_answer(ends):
    _, child = ends
    assert Talk(child).ask([Message(TEXT_INFO, b"hello")]) == [b""]
