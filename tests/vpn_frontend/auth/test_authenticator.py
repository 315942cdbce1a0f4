# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace
from ipaddress import ip_address

import pytest

from sentry_engine import Action, Reason, Verdict
from tests.vpn_frontend.auth.scripted import Codes, Scripted, outcome_of
from vpn_frontend.auth.authenticator import Authenticator, Ways, render_refusal
from vpn_frontend.auth.composition import compose
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.password.checker import PasswordChecker
from vpn_frontend.auth.password.hashes import hash_password
from vpn_frontend.auth.password.method import PasswordMethod
from vpn_frontend.auth.result import WRONG, Accepted, Challenge, FirstForm, Pending, Refused, Unavailable
from vpn_frontend.auth.supervised_method import supervise
from vpn_frontend.ports import SettingsFileError, UserRecord
from vpn_frontend.testing import MemoryDirectory, MemoryEvents

HERE = ip_address("192.0.2.1")
STRICT = {
    "wolfsentry": {
        "version": "1.6.3",
        "rules": [],
        "events": [{"label": "auth_failure", "max_rate_per_second": 2, "penalty_duration_sec": 60}],
    }
}


def login(username="alice", password="secret", group="", address=HERE, **more):
    return LoginRequest(username, password, group, address, "agent", **more)


@pytest.fixture
def make_authenticator(users, make_engine):
    """An authenticator over the four users; the engine and events are its attributes."""
    checkers = []

    def make(document=None, *, methods=None, required=(), remember=0, confirm=None, **more):
        directory = MemoryDirectory(users.values())
        checkers.append(PasswordChecker(threads=1, remember=remember))
        events, known = MemoryEvents(), methods or [PasswordMethod(directory, checkers[-1])]
        return Authenticator(
            users=directory,
            engine=make_engine(document),
            ways=Ways(
                compose([supervise(one, events) for one in known], [supervise(one, events) for one in required]),
                confirm=confirm,
            ),
            events=events,
            **more,
        )

    yield make
    for checker in checkers:
        checker.close()


async def check(authenticator, request):
    return await outcome_of(authenticator.begin(request))


async def answer(authenticator, challenge, code, address=HERE, certificate=b""):
    result = authenticator.answer(challenge.state, {"answer": code}, address=address, peer_certificate=certificate)
    return await outcome_of(result)


@pytest.mark.asyncio
async def test_a_right_password_lets_in(make_authenticator, users):
    authenticator = make_authenticator()
    assert await check(authenticator, login()) == Accepted(users["alice"], ("staff", "ops"))
    assert await check(authenticator, login(group="ops")) == Accepted(users["alice"], ("ops", "staff"))
    [accepted, _] = authenticator._events.of("login_accepted")
    assert accepted == {"user": "alice", "address": HERE, "user_agent": "agent"}


@pytest.mark.asyncio
async def test_no_response_tells_which_users_exist(make_authenticator):
    authenticator = make_authenticator()
    for wrong in (login(password="other"), login("nobody"), login("gone", "other"), login("old", "other"), login("")):
        assert await check(authenticator, wrong) == Refused(WRONG, "wrong_password")


@pytest.mark.asyncio
async def test_a_user_who_knows_the_password_is_told_what_is_wrong(make_authenticator):
    authenticator = make_authenticator()
    assert (await check(authenticator, login("gone"))).reason == "user_disabled"
    assert (await check(authenticator, login("old"))).reason == "user_expired"
    assert (await check(authenticator, login("bob", group="staff"))).reason == "not_a_member"


@pytest.mark.asyncio
async def test_failures_that_the_policy_punishes_are_final_and_say_how_long(make_authenticator):
    authenticator = make_authenticator(STRICT)
    first = [await check(authenticator, login(password="x")) for _ in range(2)]
    assert [refused.final for refused in first] == [False, False]
    third = await check(authenticator, login(password="x"))
    assert third.final
    assert third.reason == "rate_limit"
    assert "60 seconds" in third.text
    elsewhere = await check(authenticator, login(password="x", address=ip_address("192.0.2.2")))
    assert not elsewhere.final


@pytest.mark.asyncio
async def test_a_source_blocked_meanwhile_is_refused_with_the_right_password(make_authenticator):
    authenticator = make_authenticator()
    authenticator._engine.block("192.0.2.0/24", rule_id="block:1")
    refused = await check(authenticator, login())
    assert refused == Refused("Access from your address is blocked.", "rule", final=True, source_refused=True)


@pytest.mark.asyncio
async def test_a_directory_that_fails_refuses_no_user_and_accepts_none(make_authenticator, users):
    authenticator = make_authenticator(STRICT)
    authenticator._users.error = ConnectionError("database is gone")
    for _ in range(5):
        assert isinstance(await check(authenticator, login()), Unavailable)
    assert isinstance(await authenticator.find(users["alice"]), Unavailable)
    failed = authenticator._events.of("backend_failed")
    assert [event["what"] for event in failed] == ["directory"] * 6
    authenticator._users.error = None
    assert isinstance(await check(authenticator, login()), Accepted), "our failures count against no user"


@pytest.mark.asyncio
async def test_a_user_is_looked_up_again_for_each_tunnel(make_authenticator, users):
    authenticator = make_authenticator()
    assert await authenticator.find(users["alice"]) == users["alice"]
    assert (await authenticator.find(users["gone"])).reason == "user_disabled"
    assert (await authenticator.find(users["old"])).reason == "user_expired"
    assert (await authenticator.find(UserRecord("nobody"))).reason == "user_unknown"


@pytest.mark.asyncio
async def test_a_user_of_an_outside_server_needs_no_record_but_is_bound_by_one(make_authenticator, users):
    authenticator = make_authenticator()
    guest = UserRecord("guest", external=True)
    assert await authenticator.find(guest) is guest
    assert await authenticator.find(replace(users["alice"], external=True)) == replace(users["alice"], external=True)
    assert (await authenticator.find(UserRecord("gone", external=True))).reason == "user_disabled"
    authenticator._users.recalls = True
    assert authenticator.recall(UserRecord("alice", external=True)) == replace(users["alice"], external=True)
    assert authenticator.recall(UserRecord("gone", external=True)).reason == "user_disabled"


@pytest.mark.parametrize(
    ("wait", "text"), [(None, "blocked"), (float("inf"), "blocked"), (0.2, "in 1 seconds"), (59.5, "in 60 seconds")]
)
def test_a_refusal_says_until_when(wait, text):
    assert text in render_refusal(Verdict(Action.RATE_LIMITED, Reason.PENALTY, "secret-rule", wait))
    assert "secret-rule" not in render_refusal(Verdict(Action.RATE_LIMITED, Reason.PENALTY, "secret-rule", wait))


@pytest.mark.asyncio
async def test_only_a_verified_password_is_answered_at_once(users, make_authenticator):
    authenticator = make_authenticator(remember=60)
    directory = authenticator._users
    first = await check(authenticator, login())
    assert isinstance(authenticator.begin(login()), Pending), "the directory has to be asked"
    directory.recalls = True
    assert authenticator.begin(login()) == first
    for unknown in (login(password="other"), login("nobody")):
        assert isinstance(authenticator.begin(unknown), Pending)
    directory.users["alice"] = replace(users["alice"], enabled=False)
    assert authenticator.begin(login()).reason == "user_disabled"
    assert authenticator.recall(users["alice"]).reason == "user_disabled"
    directory.users["alice"] = replace(users["alice"], password_hash=hash_password("secret"))
    assert isinstance(authenticator.begin(login()), Pending)


@pytest.mark.asyncio
@pytest.mark.parametrize("wait", [False, True])
async def test_rounds_are_one_login(make_authenticator, users, wait):
    codes = Codes("1", "2", user=users["alice"], wait=wait)
    authenticator = make_authenticator(methods=[codes])
    first = await check(authenticator, login(group="ops", fields={"username": "alice"}))
    assert isinstance(first, Challenge)
    assert (first.state.login.password, first.state.login.fields) == ("", {}), "no secret is kept between rounds"
    second = await answer(authenticator, first, "1")
    assert await answer(authenticator, second, "2") == Accepted(users["alice"], ("ops", "staff"))
    [accepted] = authenticator._events.of("login_accepted")
    assert accepted == {"user": "alice", "address": HERE, "user_agent": "agent"}
    assert authenticator._events.of("login_refused") == []


@pytest.mark.asyncio
async def test_each_wrong_answer_is_one_failure_of_its_address(make_authenticator, users):
    authenticator = make_authenticator(STRICT, methods=[Codes("1", user=users["alice"])])
    challenge = await check(authenticator, login())
    for _ in range(2):
        refused = await answer(authenticator, challenge, "x")
        assert (refused.reason, refused.final) == ("wrong_code", False)
        challenge = refused.retry
    third = await answer(authenticator, challenge, "x")
    assert (third.reason, third.final, third.retry) == ("rate_limit", True, None)
    assert third.text == "Too many attempts from your address. Try again in 60 seconds."
    elsewhere = await answer(authenticator, challenge, "x", ip_address("192.0.2.2"))
    assert elsewhere.reason == "wrong_code"
    reasons = [event["reason"] for event in authenticator._events.of("login_refused")]
    assert reasons == ["wrong_code", "wrong_code", "rate_limit", "wrong_code"]


@pytest.mark.asyncio
async def test_alternatives_that_all_refuse_are_one_failure(make_authenticator):
    refusals = [Scripted(Refused("No.", "no")) for _ in range(3)]
    authenticator = make_authenticator(STRICT, methods=refusals)
    assert [(await check(authenticator, login())).final for _ in range(3)] == [False, False, True]


@pytest.mark.asyncio
async def test_a_refusal_without_a_guess_is_no_failure(make_authenticator, users):
    nothing = Refused("No certificate.", "no_certificate", scored=False)
    authenticator = make_authenticator(STRICT, methods=[Scripted(nothing)])
    for _ in range(5):
        assert await check(authenticator, login()) == nothing
    again = Refused("Ask again.", "again", scored=False, retry=(await begin_codes(make_authenticator, users)))
    refused = await check(make_authenticator(STRICT, methods=[Scripted(again)]), login())
    assert refused.retry.state.state == again.retry.state, "the round of a refusal without a guess is kept too"


async def begin_codes(make_authenticator, users):
    return await check(make_authenticator(methods=[Codes("1", user=users["alice"])]), login())


@pytest.mark.asyncio
async def test_the_first_request_of_a_client_counts_nothing(make_authenticator):
    authenticator = make_authenticator(STRICT)
    for _ in range(5):
        assert await check(authenticator, login("", "", submitted=False)) == FirstForm()
    assert authenticator._events.of("login_refused") == []


@pytest.mark.asyncio
async def test_every_required_method_is_needed(make_authenticator, users):
    codes = Codes("1", user=users["alice"])
    authenticator = make_authenticator(required=[codes])
    assert (await check(authenticator, login(password="x"))).reason == "wrong_password"
    assert codes.logins == []
    challenge = await check(authenticator, login())
    assert codes.logins[0].user == users["alice"]
    assert await answer(authenticator, challenge, "1") == Accepted(users["alice"], ("staff", "ops"))
    disabled = make_authenticator(required=[Codes("1", user=users["gone"])])
    assert (await answer(disabled, await check(disabled, login("gone")), "1")).reason == "user_disabled"


@pytest.mark.asyncio
async def test_an_unavailable_method_counts_against_no_user(make_authenticator, users):
    authenticator = make_authenticator(STRICT, methods=[Codes("1", user=users["alice"])])
    challenge = await check(authenticator, login())
    for _ in range(5):
        assert await answer(authenticator, challenge, "down") == Unavailable("No answer.")
    assert isinstance(await answer(authenticator, challenge, "1"), Accepted)


@pytest.mark.asyncio
async def test_a_login_keeps_its_client_certificate(make_authenticator, users):
    codes = Codes("1", user=users["alice"])
    authenticator = make_authenticator(methods=[codes])
    challenge = await check(authenticator, login(peer_certificate=b"DER"))
    assert codes.logins[0].peer_certificate == b"DER"
    assert challenge.state.login.peer_certificate == b"", "a login that waits keeps no certificate, only its digest"
    for other in (b"", b"ANOTHER"):
        assert (await answer(authenticator, challenge, "1", certificate=other)).reason == "another_certificate"
    assert isinstance(await answer(authenticator, challenge, "1", certificate=b"DER"), Accepted)


def test_a_state_of_another_kind_is_refused(make_authenticator):
    with pytest.raises(TypeError):
        make_authenticator().answer("state", {}, address=HERE)


@pytest.mark.asyncio
async def test_while_the_source_is_in_penalty_no_password_is_checked_and_all_get_one_text(make_authenticator, users):
    checked = []

    class Counting(PasswordMethod):
        async def _check(self, login):
            checked.append(login.password)
            return await super()._check(login)

    directory = MemoryDirectory(users.values())
    checker = PasswordChecker(threads=1)
    try:
        authenticator = make_authenticator(STRICT, methods=[Counting(directory, checker)])
        outcomes = [await check(authenticator, login(password="wrong")) for _ in range(3)]
        assert outcomes[-1].source_refused
        assert not outcomes[0].source_refused
        for tried in (login(), login(password="wrong"), login("gone"), login("bob", group="staff"), login("nobody")):
            refused = await check(authenticator, tried)
            assert (refused.text, refused.final) == (outcomes[-1].text, True)
    finally:
        checker.close()
    assert checked == ["wrong"] * 3
    assert WRONG not in outcomes[-1].text


@pytest.mark.asyncio
async def test_checks_under_way_when_the_penalty_begins_tell_nothing(make_authenticator):
    authenticator = make_authenticator(STRICT)
    tries = (login(), login("gone"), login(password="wrong"), login("bob", group="staff"))
    under_way = [authenticator.begin(tried) for tried in tries]
    refused = [await check(authenticator, login(password="wrong")) for _ in range(3)][-1]
    outcomes = [await outcome_of(pending) for pending in under_way]
    assert {(outcome.text, outcome.final) for outcome in outcomes} == {(refused.text, True)}


@pytest.mark.asyncio
async def test_logins_with_an_account_of_ones_own_pay_for_no_guesses_at_another(make_authenticator):
    guesses = {"id": "guess", "type": "auth_limit", "remote_addr": "0.0.0.0/0", "max_failures": 5, "window_sec": 300}
    rules = [{**guesses, "penalty_duration_sec": 60}]
    authenticator = make_authenticator({"wolfsentry": {"version": "1.6.3", "rules": rules}}, remember=60)
    for _ in range(5):
        assert not (await check(authenticator, login("bob", "a guess"))).final
        assert isinstance(await check(authenticator, login()), Accepted)
    assert (await check(authenticator, login("bob", "a guess"))).final
    assert not isinstance(await check(authenticator, login()), Accepted)


@pytest.mark.asyncio
async def test_the_user_is_compared_with_the_login_at_the_end(make_authenticator):
    """Whatever the methods and their composition let through."""
    seen = []

    def confirm(request, accepted):
        seen.append((request.peer_certificate, accepted.user.name))
        return Refused(WRONG, "another_user", final=True)

    authenticator = make_authenticator(methods=[Scripted()], confirm=confirm)
    assert (await check(authenticator, login(peer_certificate=b"DER"))).reason == "another_user"
    assert seen == [(b"DER", "alice")]
    assert authenticator._events.of("login_accepted") == []


@pytest.mark.asyncio
async def test_a_group_with_rules_of_its_own_is_asked_in_every_round(make_authenticator):
    codes, password = Codes("1", "2"), Scripted(Refused("No.", "no"))
    authenticator = make_authenticator(methods=[password])
    authenticator.ways = replace(authenticator.ways, group_methods={"staff": codes})
    assert isinstance(await check(authenticator, login()), Refused)
    challenge = await check(authenticator, login(group="staff"))
    assert isinstance(challenge, Challenge)
    assert "Ways" not in repr(challenge.state), "the size of a waiting login is that of its own state"
    again = await answer(authenticator, challenge, "1")
    assert isinstance(again, Challenge)
    authenticator.ways = Ways(password)  # the group has lost its rules: this login goes on by those of its beginning
    assert isinstance(await answer(authenticator, again, "2"), Accepted)
    assert isinstance(await check(authenticator, login(group="staff")), Refused)


class ScriptedFiles:
    """``SettingsFiles`` with one answer, or one error."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    async def read(self, user, group):
        self.asked.append((user, group))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


LAYERS = (("user alice (file)", {"network": {"mtu": 1200}}),)


@pytest.mark.asyncio
async def test_settings_files_are_read_for_the_user_and_the_group_of_the_login(make_authenticator, users):
    files = ScriptedFiles(LAYERS)
    authenticator = make_authenticator(settings_files=files, remember=60)
    for _ in range(2):  # the second password is remembered, and the files are read all the same
        accepted = await check(authenticator, login(group="ops"))
        assert accepted == Accepted(replace(users["alice"], file_layers=LAYERS), ("ops", "staff"))
    await check(authenticator, login())
    await check(authenticator, login(password="wrong"))
    assert files.asked == [("alice", "ops"), ("alice", "ops"), ("alice", "staff")]
    found = await authenticator.find(accepted.user)
    assert found.file_layers == LAYERS, "of the login, at each reconnect"


@pytest.mark.asyncio
async def test_without_layers_the_record_is_the_directorys(make_authenticator, users):
    accepted = await check(make_authenticator(settings_files=ScriptedFiles(())), login())
    assert accepted.user is users["alice"]


@pytest.mark.asyncio
async def test_a_malformed_file_refuses_the_login_and_scores_nothing(make_authenticator):
    authenticator = make_authenticator(STRICT, settings_files=ScriptedFiles(SettingsFileError("Tell your admin.")))
    for _ in range(4):
        refused = await check(authenticator, login())
        assert refused == Refused("Tell your admin.", "settings_file", final=True, scored=False)


@pytest.mark.asyncio
async def test_a_disk_that_fails_is_no_refusal(make_authenticator):
    authenticator = make_authenticator(settings_files=ScriptedFiles(OSError("gone")))
    assert isinstance(await check(authenticator, login()), Unavailable)
    assert authenticator._events.of("backend_failed")[0]["what"] == "settings files"


@pytest.mark.asyncio
async def test_a_user_without_a_password_is_refused_where_no_method_has_checked_a_code(make_authenticator, users):
    alice = replace(users["alice"], code_only=True)
    authenticator = make_authenticator(methods=[Scripted(Accepted(alice, ()), name="password")])
    assert await check(authenticator, login()) == Refused(WRONG, "code_missing")


@pytest.mark.asyncio
async def test_a_refused_ticket_counts_though_the_login_may_go_on_with_the_form(make_authenticator):
    refused = Refused("It was used before.", "replay")
    authenticator = make_authenticator(STRICT, methods=[Scripted(refused), Scripted(FirstForm(), name="password")])
    request = replace(login(), submitted=False)
    assert [await check(authenticator, request) for _ in range(2)] == [FirstForm(refused=refused)] * 2
    third = await check(authenticator, request)
    assert (third.reason, third.source_refused) == ("rate_limit", True)
    assert [event["reason"] for event in authenticator._events.of("login_refused")] == [
        "replay",
        "replay",
        "rate_limit",
    ]
