# SPDX-License-Identifier: GPL-3.0-or-later
"""The method ``pam`` with conversations that the test plays."""

import asyncio
from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vpn_frontend.auth.scripted import outcome_of
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.pam.conversation import (
    MAX_ANSWER,
    ConversationError,
    Ended,
    Phase,
    Prompt,
    Question,
    parse_message,
)
from vpn_frontend.auth.pam.method import MAX_CONVERSATIONS, MAX_PER_SOURCE, PamMethod
from vpn_frontend.auth.result import WRONG, Accepted, Challenge, FirstForm, Refused, Unavailable
from vpn_frontend.protocol.login_form import FieldKind
from vpn_frontend.testing import MemoryDirectory

LONG = 3600.0
PASSWORD = Question((Prompt("Password:", echo=False),), ())
CODE = Question((Prompt("Code for alice:", echo=False),), ("A code was sent.",))
DONE = Ended(Phase.DONE, 0, "alice", ("staff",), ())


class Played:
    """A conversation that says ``script``, and keeps what it was answered. ``None`` in it: it hangs."""

    def __init__(self, *script):
        self.script = list(script)
        self.answers = []
        self.closed = False

    async def receive(self):
        said = self.script.pop(0)
        if said is None:
            await asyncio.Event().wait()
        if isinstance(said, Exception):
            raise said
        return said

    async def answer(self, texts):
        self.answers.append(list(texts))

    def close(self):
        self.closed = True


class Opener:
    def __init__(self, *script):
        self.script = script
        self.opened = []

    async def open_conversation(self, user, address):
        self.opened.append(Played(*self.script))
        return self.opened[-1]


def make(*script, user_deadline=LONG, step_deadline=LONG):
    opener = Opener(*script)
    return PamMethod(MemoryDirectory(), opener, step_deadline=step_deadline, user_deadline=user_deadline), opener


def login(user="alice", password="secret", address="192.0.2.1", **more):
    return LoginRequest(user, password, "", ip_address(address), **more)


async def begin(method, **more):
    return await outcome_of(method.begin(login(**more)))


async def answer(method, challenge, **fields):
    return await outcome_of(method.answer(challenge.state, fields))


@pytest.mark.asyncio
async def test_the_first_form_s_password_answers_the_first_hidden_prompt():
    method, opener = make(PASSWORD, DONE)
    accepted = await begin(method)
    assert isinstance(accepted, Accepted)
    assert (accepted.user.name, accepted.groups, accepted.user.external) == ("alice", ("staff",), True)
    assert opener.opened[0].answers == [["secret"]]
    assert opener.opened[0].closed


@pytest.mark.asyncio
async def test_each_further_question_is_a_form_with_the_modules_messages():
    method, opener = make(PASSWORD, CODE, DONE)
    challenge = await begin(method)
    assert isinstance(challenge, Challenge)
    (field,) = challenge.form.fields
    assert (field.name, field.kind, field.label) == ("secondary_password", FieldKind.PASSWORD, "Code for alice:")
    assert challenge.form.message == "A code was sent."
    assert not opener.opened[0].closed
    assert isinstance(await answer(method, challenge, secondary_password="123456"), Accepted)
    assert opener.opened[0].answers == [["secret"], ["123456"]]
    assert opener.opened[0].closed


@pytest.mark.asyncio
async def test_prompts_that_come_together_are_one_form():
    both = Question((Prompt("Token:", echo=True), Prompt("PIN:", echo=False)), ())
    method, opener = make(both, DONE)
    challenge = await begin(method)
    assert [(field.name, field.kind) for field in challenge.form.fields] == [
        ("secondary_password", FieldKind.TEXT),
        ("secondary_password_2", FieldKind.PASSWORD),
    ]
    await answer(method, challenge, secondary_password="t", secondary_password_2="p")
    assert opener.opened[0].answers == [["t", "p"]]


def changing(text):
    return Question((Prompt(text, echo=False),), (), changing=True)


@pytest.mark.asyncio
@pytest.mark.parametrize("field", ["new_password", "password"], ids=["AnyConnect", "openconnect"])
async def test_a_new_password_and_its_repetition_are_one_form(field):
    method, opener = make(PASSWORD, changing("New password: "), changing("Retype new password: "), DONE)
    challenge = await begin(method)
    assert [(one.name, one.kind) for one in challenge.form.fields] == [
        ("new_password", FieldKind.PASSWORD),
        ("verify_password", FieldKind.PASSWORD),
    ]
    assert isinstance(await answer(method, challenge, **{field: "n", "verify_password": "v"}), Accepted)
    assert opener.opened[0].answers == [["secret"], ["n"], ["v"]], "the modules compare them"


@pytest.mark.asyncio
async def test_a_repetition_that_the_client_does_not_send_is_asked_for():
    """openconnect 9.01 asks its user for it, and leaves it out of the answer."""
    method, opener = make(PASSWORD, changing("New password: "), changing("Retype new password: "), DONE)
    challenge = await answer(method, await begin(method), password="n")
    assert [one.label for one in challenge.form.fields] == ["Retype new password: "]
    assert isinstance(await answer(method, challenge, secondary_password="n"), Accepted)
    assert opener.opened[0].answers == [["secret"], ["n"], ["n"]]


@pytest.mark.asyncio
async def test_a_new_password_that_is_refused_is_asked_for_again():
    method, opener = make(PASSWORD, *[changing("New password: ")] * 2, changing("Retype new password: "), DONE)
    challenge = await answer(method, await begin(method), new_password="short", verify_password="short")
    assert isinstance(challenge, Challenge)
    assert isinstance(await answer(method, challenge, new_password="long", verify_password="long"), Accepted)
    assert opener.opened[0].answers == [["secret"], ["short"], ["long"], ["long"]]


@pytest.mark.asyncio
async def test_prompts_of_a_login_are_no_new_password():
    for text in ("New PIN:", "Retype the code:"):
        challenge = await begin(make(PASSWORD, Question((Prompt(text, echo=False),), ()), DONE)[0])
        assert [one.name for one in challenge.form.fields] == ["secondary_password"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (Ended(Phase.AUTHENTICATE, 7, "", (), ("The account is locked.",)), Refused(WRONG, "wrong_password")),
        (Ended(Phase.AUTHENTICATE, 10, "", (), ()), Refused(WRONG, "user_unknown")),
        (Ended(Phase.AUTHENTICATE, 11, "", (), ()), Refused(WRONG, "user_locked")),
        (
            Ended(Phase.ACCOUNT, 13, "", (), ("Ask Bob.",)),
            Refused("This account has expired. Ask Bob.", "user_expired", final=True, scored=False),
        ),
        (
            Ended(Phase.ACCOUNT, 6, "", (), ()),
            Refused("You may not log in now, or not from here.", "account_refused", final=True, scored=False),
        ),
        (
            Ended(Phase.PASSWORD, 20, "", (), ("Too short.",)),
            Refused("Your password has expired and was not changed. Too short.", "password_not_changed", scored=False),
        ),
        (
            Ended(Phase.PASSWORD, 6, "", (), ()),
            Refused("Your password has expired and was not changed.", "password_not_changed", scored=False),
        ),
    ],
    ids=["wrong", "unknown", "tries", "expired", "access", "unchanged", "not-permitted"],
)
async def test_what_each_end_means(ended, expected):
    method, opener = make(PASSWORD, ended)
    assert await begin(method) == expected
    assert opener.opened[0].closed


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "said",
    [
        Ended(Phase.START, 26, "", (), ()),
        Ended(Phase.AUTHENTICATE, 9, "", (), ()),
        Ended(Phase.ACCOUNT, 4, "", (), ()),
        Ended(Phase.DONE, 0, "", (), ()),
        ConversationError("it ended"),
    ],
    ids=["no-service", "no-server", "system", "nobody", "died"],
)
async def test_what_cannot_be_checked_is_no_wrong_password(said):
    method, opener = make(PASSWORD, said)
    with pytest.raises(ConversationError):
        await begin(method)
    assert opener.opened[0].closed


@pytest.mark.asyncio
async def test_a_module_that_hangs_is_killed():
    method, opener = make(None, step_deadline=0.01)
    with pytest.raises(TimeoutError):
        await begin(method)
    assert opener.opened[0].closed


@pytest.mark.asyncio
async def test_a_module_that_hangs_after_an_answer_is_killed():
    method, opener = make(PASSWORD, CODE, None, step_deadline=0.05)
    challenge = await begin(method)
    with pytest.raises(TimeoutError):
        await answer(method, challenge, secondary_password="1")
    assert opener.opened[0].closed


@pytest.mark.asyncio
async def test_a_user_who_does_not_answer_loses_the_conversation():
    method, opener = make(PASSWORD, CODE, user_deadline=0.01)
    challenge = await begin(method)
    while not opener.opened[0].closed:  # noqa: ASYNC110 - by a timer of the loop
        await asyncio.sleep(0)
    assert (await answer(method, challenge, secondary_password="1")).reason == "login_timeout"


@pytest.mark.asyncio
async def test_an_answer_counts_once():
    method, _ = make(PASSWORD, CODE, DONE)
    challenge = await begin(method)
    assert isinstance(await answer(method, challenge, secondary_password="1"), Accepted)
    assert (await answer(method, challenge, secondary_password="1")).reason == "login_timeout"


@pytest.mark.asyncio
async def test_one_source_holds_a_bounded_number_of_conversations():
    method, opener = make(PASSWORD, CODE, DONE)
    for _ in range(MAX_PER_SOURCE + 3):
        await begin(method)
    assert [played.closed for played in opener.opened] == [True] * 3 + [False] * MAX_PER_SOURCE
    await begin(method, address="192.0.2.2")
    assert sum(not played.closed for played in opener.opened) == MAX_PER_SOURCE + 1


@pytest.mark.asyncio
async def test_modules_that_hang_cost_the_next_login_no_wait():
    method, opener = make(None)
    hanging = [asyncio.create_task(begin(method)) for _ in range(MAX_CONVERSATIONS)]
    while len(opener.opened) < MAX_CONVERSATIONS:  # noqa: ASYNC110 - by other tasks
        await asyncio.sleep(0)
    assert isinstance(await begin(method), Unavailable)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert all(played.closed for played in opener.opened)
    opener.script = (PASSWORD, DONE)
    assert isinstance(await begin(method), Accepted)


@pytest.mark.asyncio
async def test_waiting_users_give_way_to_new_logins_when_all_places_are_taken():
    method, opener = make(PASSWORD, CODE)
    for number in range(MAX_CONVERSATIONS + 1):
        assert isinstance(await begin(method, address=f"198.51.100.{number}"), Challenge)
    assert [played.closed for played in opener.opened].index(False) == 1
    method.close()
    assert all(played.closed for played in opener.opened)


@pytest.mark.asyncio
async def test_a_source_of_many_addresses_ends_no_conversation_of_another():
    method, opener = make(PASSWORD, CODE, DONE)
    challenge = await begin(method)
    for number in range(2 * MAX_CONVERSATIONS):
        assert isinstance(await begin(method, address=f"2001:db8:0:{number:x}::7"), Challenge)
    assert sum(not played.closed for played in opener.opened) == MAX_PER_SOURCE + 1
    assert isinstance(await answer(method, challenge, secondary_password="1"), Accepted)


@pytest.mark.asyncio
async def test_when_all_places_are_taken_the_source_with_the_most_gives_way():
    method, opener = make(PASSWORD, CODE, DONE)
    challenge = await begin(method)
    for number in range(MAX_CONVERSATIONS):
        await begin(method, address=f"198.51.100.{number // MAX_PER_SOURCE}")
    assert sum(not played.closed for played in opener.opened) == MAX_CONVERSATIONS
    assert isinstance(await answer(method, challenge, secondary_password="1"), Accepted)


@pytest.mark.asyncio
async def test_endless_prompts_end():
    method, opener = make(PASSWORD, *[CODE] * 20)
    outcome = await begin(method)
    for _ in range(14):
        outcome = await answer(method, outcome, secondary_password="1")
    with pytest.raises(ConversationError, match="more than"):
        await answer(method, outcome, secondary_password="1")
    assert opener.opened[0].closed


@pytest.mark.parametrize("user", ["", "a\0b", "a\nb", "x" * 65, "é" * 33], ids=["none", "nul", "line", "long", "bytes"])
def test_names_that_cannot_be_one_start_nothing(user):
    method, opener = make()
    assert method.begin(login(user)) == Refused(WRONG, "unusable_name")
    assert opener.opened == []


def test_passwords_that_pam_cannot_take_start_nothing():
    method, _ = make()
    for password in ("x" * (MAX_ANSWER + 1), "a\0b"):
        assert method.begin(login(password=password)) == Refused(WRONG, "wrong_password")
    assert method.begin(login(submitted=False)) == FirstForm()


MESSAGE = {"phase": "done", "code": 0, "user": "alice", "groups": ["staff"], "messages": ["hello\x1b[2J\n"]}


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "other"},
        {"code": "0"},
        {"code": True},
        {"user": 7},
        {"user": "a\nb"},
        {"groups": ["x" * 65]},
        {"groups": ["a"] * 1025},
        {"messages": "text"},
        {"messages": ["x"] * 17},
        {"prompts": []},
        {"prompts": [{"text": "x"}]},
        {"prompts": [{"text": 1, "echo": True}]},
        {"prompts": [{"text": "x", "echo": True}] * 17},
    ],
    ids=lambda change: next(iter(change)),
)
def test_messages_of_another_form_are_errors(change):
    with pytest.raises(ConversationError):
        parse_message({**MESSAGE, **change})


def test_control_characters_of_modules_reach_no_form():
    assert parse_message(MESSAGE).messages == ("hello [2J",)


ANYTHING = st.recursive(st.none() | st.integers() | st.text(), st.lists)


@given(st.dictionaries(st.sampled_from([*MESSAGE, "prompts"]), ANYTHING))
def test_any_document_is_a_message_or_an_error(document):
    with suppress(ConversationError):
        parse_message(document)
