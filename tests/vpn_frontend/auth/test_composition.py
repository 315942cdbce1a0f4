# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.vpn_frontend.auth.scripted import ALICE, CODE_FORM, Codes, Scripted, outcome_of
from vpn_frontend.auth.composition import AllOf, AnyOf, compose
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.result import WRONG, Accepted, Challenge, Pending, Refused, Unavailable
from vpn_frontend.ports import RemoteLogin, UserRecord

LOGIN = LoginRequest("alice", "secret", "", ip_address("192.0.2.1"), fields={"username": "alice"})
YES = Accepted(ALICE, ALICE.groups)
NO = Refused("No.", "no")
DOWN = Unavailable("Down.")


@pytest.fixture(params=[False, True], ids=["at once", "waits"])
def wait(request):
    return request.param


async def begin(method, login=LOGIN):
    return await outcome_of(method.begin(login))


async def answer(method, challenge, code):
    return await outcome_of(method.answer(challenge.state, {"answer": code}))


def test_one_method_stands_for_itself():
    method = Scripted()
    assert compose([method]) is method
    with pytest.raises(ValueError, match="no method"):
        compose([])


def test_what_needs_no_waiting_is_answered_at_once():
    assert compose([Scripted(NO), Scripted()], [Scripted()]).begin(LOGIN) == YES
    assert isinstance(compose([Scripted(NO), Scripted(wait=True)]).begin(LOGIN), Pending)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([YES, NO], YES),
        ([NO, YES], YES),
        ([DOWN, YES], YES),
        ([NO, NO], NO),
        ([DOWN, DOWN], DOWN),
        ([NO, DOWN], NO),
        ([DOWN, NO], NO),
    ],
)
async def test_any_of(outcomes, expected, wait):
    assert await begin(AnyOf([Scripted(outcome, wait=wait) for outcome in outcomes])) == expected


@pytest.mark.asyncio
async def test_what_an_authentication_server_sent_outlives_further_methods(wait):
    remote = RemoteLogin("radius", "alice", session_id="0123456789abcdef")
    first = Scripted(Accepted(ALICE, ("staff",), remote), wait=wait)
    assert (await begin(AllOf([first, Scripted(YES, wait=wait)]))).remote is remote
    assert (await begin(AllOf([Scripted(YES, wait=wait), first]))).remote is remote


@pytest.mark.asyncio
async def test_any_of_asks_no_further_than_it_must(wait):
    last = Scripted(wait=wait)
    await begin(AnyOf([Scripted(YES, wait=wait), last]))
    assert last.logins == []


@pytest.mark.asyncio
async def test_a_challenge_binds_the_login_to_its_alternative(wait):
    method = AnyOf([Scripted(NO, wait=wait), Codes("1", "2", wait=wait), Codes("3", wait=wait)])
    first = await begin(method)
    assert first.form == CODE_FORM
    refused = await answer(method, first, "3")
    assert refused.reason == "wrong_code"
    second = await answer(method, refused.retry, "1")
    assert isinstance(second, Challenge)
    assert await answer(method, second, "2") == YES


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("outcomes", "expected"), [([YES, YES], YES), ([YES, NO], NO), ([NO, YES], NO), ([YES, DOWN], DOWN)]
)
async def test_all_of(outcomes, expected, wait):
    assert await begin(AllOf([Scripted(outcome, wait=wait) for outcome in outcomes])) == expected


@pytest.mark.asyncio
async def test_all_of_begins_a_method_only_when_those_before_it_accepted(wait):
    last = Scripted(wait=wait)
    method = AllOf([Codes("1", wait=wait), last])
    challenge = await begin(method)
    assert last.logins == []
    refused = await answer(method, challenge, "2")
    assert last.logins == []
    assert await answer(method, refused.retry, "1") == YES
    [login] = last.logins
    assert login.user == ALICE
    assert (login.username, login.password, login.fields) == ("alice", "", {}), "no secret is kept between rounds"


@pytest.mark.asyncio
async def test_all_of_carries_which_methods_are_done(wait):
    password, codes, more = Scripted(wait=wait), Codes("1", wait=wait), Codes("2", "3", wait=wait)
    method = compose([password], [codes, more])
    first = await begin(method)
    second = await answer(method, first, "1")
    third = await answer(method, second, "2")
    assert await answer(method, third, "3") == YES
    assert (len(password.logins), len(codes.logins), len(more.logins)) == (1, 1, 1)
    assert await answer(method, second, "2") == third, "states are values: nothing of the login is in the methods"


@pytest.mark.asyncio
async def test_all_must_accept_the_same_user(wait):
    bob = UserRecord("bob", groups=("ops",))
    method = AllOf([Scripted(wait=wait), Scripted(Accepted(bob, bob.groups), wait=wait)])
    assert await begin(method) == Refused(WRONG, "another_user")
    later = AllOf([Scripted(wait=wait), Codes("1", user=bob, wait=wait)])
    assert await answer(later, await begin(later), "1") == Refused(WRONG, "another_user")


@pytest.mark.asyncio
async def test_groups_of_all_methods_are_kept_in_sequence(wait):
    other = Accepted(ALICE, ("ops", "staff"))
    assert (await begin(AllOf([Scripted(wait=wait), Scripted(other, wait=wait)]))).groups == ("staff", "ops")


@pytest.mark.asyncio
async def test_a_chosen_group_is_one_of_every_method_that_names_groups(wait):
    login = replace(LOGIN, group="ops")
    staff, ops, none = (Scripted(Accepted(ALICE, groups), wait=wait) for groups in (("staff",), ("staff", "ops"), ()))
    assert isinstance(await begin(AllOf([ops, none, ops]), login), Accepted)
    for methods in ((staff, ops), (ops, staff)):
        assert (await begin(AllOf(methods), login)).reason == "not_a_member"
        assert isinstance(await begin(AllOf(methods)), Accepted), "no group was chosen"


@pytest.mark.asyncio
async def test_alternatives_and_requirements_nest(wait):
    method = compose([Scripted(DOWN, wait=wait), Codes("1", wait=wait)], [Codes("2", wait=wait)])
    second = await answer(method, await begin(method), "1")
    assert await answer(method, second, "down") == Unavailable("No answer.")
    assert await answer(method, second, "2") == YES


@pytest.mark.parametrize("method", [AnyOf([Scripted()]), AllOf([Scripted()])])
def test_the_state_of_another_composition_is_refused(method):
    with pytest.raises(TypeError):
        method.answer("state", {})


@pytest.mark.asyncio
async def test_an_account_that_one_method_keeps_has_to_exist(wait):
    """Otherwise a deleted user would return with a certificate's record, and a password's account would be nothing."""
    outside = Accepted(UserRecord("alice", groups=("ops",), external=True), ("ops",))
    for methods in ([outside, YES], [YES, outside]):
        accepted = await begin(AllOf([Scripted(outcome, wait=wait) for outcome in methods]))
        assert not accepted.user.external
        assert set(accepted.groups) == {"ops", *YES.groups}
