# SPDX-License-Identifier: GPL-3.0-or-later
"""How libpam is called, and what it gets for answers."""

import ctypes
import os
import subprocess
import sys

import pytest

from lab.timeouts import TIMEOUT
from ocsentry.privileges.pam.libpam import (
    CHANGE_EXPIRED_AUTHTOK,
    CONV_ERR,
    DISALLOW_NULL_AUTHTOK,
    MAX_BATCH,
    SUCCESS,
    LibPam,
    Message,
    PamHandle,
    _Message,
)


@pytest.fixture(scope="module")
def library():
    return LibPam()


def converse(library, ask, *messages, count=None):
    """(the code, the answers) of one call by a module."""
    structs = [_Message(style, text) for style, text in messages]
    array = (ctypes.POINTER(_Message) * len(structs))(*[ctypes.pointer(struct) for struct in structs])
    responses = (ctypes.c_void_p * 1)()
    handle = PamHandle(library, ask)
    code = handle._function(len(structs) if count is None else count, array, responses, None)
    if code != SUCCESS:
        return code, None
    pointers = [ctypes.c_char_p.from_address(responses[0] + 16 * number) for number in range(len(structs))]
    return code, [pointer.value for pointer in pointers]


def test_answers_are_in_the_sequence_of_the_messages(library):
    seen = []

    def ask(batch):
        seen.extend(batch)
        return [b"one", b"", b"two"]

    assert converse(library, ask, (1, b"A"), (4, b"B"), (2, b"C")) == (SUCCESS, [b"one", b"", b"two"])
    assert seen == [Message(1, b"A"), Message(4, b"B"), Message(2, b"C")]


@pytest.mark.parametrize("answers", [None, [], [b"1", b"2"]], ids=["over", "none", "more"])
def test_other_answers_end_the_conversation(library, answers):
    assert converse(library, lambda batch: answers, (1, b"A"))[0] == CONV_ERR


def test_a_fault_does_not_pass_through_c(library):
    def ask(batch):
        raise RuntimeError

    assert converse(library, ask, (1, b"A"))[0] == CONV_ERR


@pytest.mark.parametrize("count", [0, -1, MAX_BATCH + 1])
def test_other_numbers_of_messages_are_refused(library, count):
    assert converse(library, lambda batch: [b""], (1, b"A"), count=count)[0] == CONV_ERR


def test_accounts_without_a_password_are_refused_and_only_expired_tokens_are_changed(library):
    flags = []

    class Recorded:
        def __getattr__(self, name):
            return lambda handle, number: flags.append((name, number)) or SUCCESS

    handle = PamHandle(Recorded(), lambda batch: None)
    assert (handle.authenticate(), handle.check_account(), handle.change_expired_token()) == (0, 0, 0)
    assert flags == [
        ("authenticate", DISALLOW_NULL_AUTHTOK),
        ("check_account", DISALLOW_NULL_AUTHTOK),
        ("change_token", CHANGE_EXPIRED_AUTHTOK),
    ]


WRAPPER = "int pam_start(const char *service) { return service[0]; }"
CALL = "from ocsentry.privileges.pam.libpam import LibPam; print(LibPam().start(b'x', None, None, None))"


def test_a_preloaded_library_that_wraps_pam_is_asked_in_its_place(tmp_path):
    """As of a program that is linked with libpam: libpam_wrapper, and what sites preload, count."""
    wrapper = tmp_path / "wrapper.so"
    compile_it = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", wrapper]
    subprocess.run(compile_it, input=WRAPPER, text=True, check=True, timeout=TIMEOUT)
    environment = {**os.environ, "LD_PRELOAD": str(wrapper)}
    called = subprocess.run(
        [sys.executable, "-c", CALL], env=environment, capture_output=True, text=True, check=True, timeout=TIMEOUT
    )
    assert called.stdout == f"{ord('x')}\n"
