# SPDX-License-Identifier: GPL-3.0-or-later
import asyncio
from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.vpn_frontend.auth.scripted import ALICE, Scripted, outcome_of
from vpn_frontend.auth.composition import compose
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.result import WRONG, Accepted, Challenge, Refused, Unavailable
from vpn_frontend.auth.totp.codes import code_at, step_at
from vpn_frontend.auth.totp.method import CODE_FORM, TotpMethod
from vpn_frontend.auth.totp.secret import OtpSecret

NOW = 1_700_000_010.0
SECRET = b"12345678901234567890"
BACKUP = "ABCDEFGH"
LOGIN = LoginRequest("alice", "", "", ip_address("192.0.2.1"), user=ALICE)
YES = Accepted(ALICE, ALICE.groups)


class MemoryFactors:
    def __init__(self, secret=SECRET):
        self.secret = OtpSecret(secret)
        self.last = (0, "")
        self.backup = {BACKUP: ""}
        self.error = None
        self.gate = None

    async def find_secret(self, user):
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.secret if user == "alice" else None

    async def use_step(self, user, step, login):
        if step < self.last[0] or (step == self.last[0] and login != self.last[1]):
            return False
        self.last = (step, login)
        return True

    async def use_backup_code(self, user, code, login):
        if code not in self.backup or self.backup[code] not in ("", login):
            return False
        self.backup[code] = login
        return True


@pytest.fixture
def factors():
    return MemoryFactors()


@pytest.fixture
def make_method(factors):
    def make(**how):
        return TotpMethod(factors, clock=lambda: NOW, **how)

    return make


def code(steps=0):
    return code_at(SECRET, step_at(NOW) + steps)


async def ask(method, login=LOGIN):
    return await outcome_of(method.begin(login))


async def reply(method, challenge, text, name="secondary_password"):
    return await outcome_of(method.answer(challenge.state, {name: text}))


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["secondary_password", "password"])
async def test_an_enrolled_user_is_asked_for_a_code(make_method, name):
    method = make_method()
    challenge = await ask(method)
    assert challenge.form == CODE_FORM
    assert [field.name for field in challenge.form.fields] == ["secondary_password"], "what openconnect fills itself"
    assert await reply(method, challenge, code(), name) == YES


@pytest.mark.asyncio
async def test_wrong_codes_are_asked_again(make_method, factors):
    method = make_method()
    challenge = await ask(method)
    for wrong in ("", "000000", code()[:5], code() + "0", code(5), "x" * 1000, "ABCDEFG2"):
        refused = await reply(method, challenge, wrong)
        assert (refused.reason, refused.scored, refused.final) == ("wrong_code", True, False)
        assert refused.retry == challenge
    assert factors.last == (0, ""), "a wrong code uses nothing up"
    spaced = f"{code()[:3]} {code()[3:]}"
    assert await reply(method, challenge, spaced) == YES


@pytest.mark.asyncio
async def test_a_code_serves_one_login(make_method):
    method = make_method()
    first, second = await ask(method), await ask(method)
    assert await reply(method, first, code()) == YES
    again = await reply(method, second, code())
    assert (again.reason, again.text) == ("code_used", "This code was used already. Please wait for the next one.")
    assert (await reply(method, second, code(-1))).reason == "code_used", "older ones are used up with it"
    assert await reply(method, second, code(1)) == YES


@pytest.mark.asyncio
async def test_a_reply_that_is_sent_again_is_accepted_again(make_method):
    method = make_method()
    challenge, other = await ask(method), await ask(method)
    assert await reply(method, challenge, code()) == await reply(method, challenge, code()) == YES
    assert await reply(method, challenge, BACKUP) == await reply(method, challenge, BACKUP) == YES
    assert (await reply(method, other, BACKUP)).reason == "wrong_code"


@pytest.mark.asyncio
async def test_a_backup_code_serves_one_login(make_method):
    method = make_method()
    assert await reply(method, await ask(method), "abcd-efgh") == YES
    assert (await reply(method, await ask(method), BACKUP)).reason == "wrong_code"


@pytest.mark.asyncio
async def test_a_backup_code_is_the_code_of_a_user_without_a_password(make_method):
    own = replace(ALICE, code_only=True)
    outcome = await ask(make_method(), replace(LOGIN, user=own, password=BACKUP, fields={"password": BACKUP}))
    assert outcome.user == replace(own, code_only=False)  # with the mark the login would end as code_missing


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("required", "needed"),
    [("enrolled", False), ("all", True), (("staff",), True), (("ops", "staff"), True), (("ops",), False)],
)
async def test_who_must_be_enrolled(make_method, factors, required, needed):
    factors.secret = None
    outcome = await ask(make_method(required=required))
    if needed:
        assert (outcome.reason, outcome.final, outcome.scored) == ("totp_not_enrolled", True, False)
    else:
        assert outcome == YES


@pytest.mark.asyncio
async def test_an_enrolment_that_is_reset_during_the_login(make_method, factors):
    method, strict = make_method(), make_method(required="all")
    challenge = await ask(method)
    factors.secret = None
    assert await reply(method, challenge, "000000") == YES, "the operator took the second factor away"
    assert (await reply(strict, challenge, code())).reason == "totp_not_enrolled"


@pytest.mark.asyncio
async def test_a_code_in_the_first_form(make_method, factors):
    method = make_method(with_first_form=True)
    login = replace(LOGIN, fields={"secondary_password": code()}, context="cookie")
    assert await ask(method, login) == await ask(method, login) == YES, "sent again with the same cookie"
    for wrong in (replace(login, context="another"), replace(login, fields={}), replace(login, context="")):
        refused = await ask(method, wrong)
        assert (refused.text, refused.retry) == (WRONG, None), "one text for every failure"
    later = replace(login, fields={"secondary_password": code(1)}, context="")
    assert await ask(method, later) == YES


@pytest.mark.asyncio
async def test_a_login_that_began_without_a_form_is_asked(make_method):
    login = replace(LOGIN, submitted=False, context="cookie")
    assert isinstance(await ask(make_method(with_first_form=True), login), Challenge)


@pytest.mark.asyncio
async def test_at_most_so_many_checks_run(make_method, factors):
    method = make_method(max_waiting=2)
    factors.gate = asyncio.Event()
    checks = [asyncio.create_task(ask(method)) for _ in range(3)]
    done, waiting = await asyncio.wait(checks, return_when=asyncio.FIRST_COMPLETED)
    assert isinstance(done.pop().result(), Unavailable)
    factors.gate.set()
    assert all(isinstance(outcome, Challenge) for outcome in await asyncio.gather(*waiting))
    assert isinstance(await ask(method), Challenge)


@pytest.mark.asyncio
async def test_two_logins_at_once_cannot_share_a_code(make_method):
    method = make_method()
    challenges = [await ask(method) for _ in range(8)]
    outcomes = await asyncio.gather(*(reply(method, challenge, code()) for challenge in challenges))
    assert outcomes.count(YES) == 1


@pytest.mark.asyncio
async def test_a_code_alone_lets_nobody_in(make_method):
    with pytest.raises(TypeError):
        make_method().begin(replace(LOGIN, user=None))
    with pytest.raises(TypeError):
        make_method().answer("state", {})
    wrong = compose([Scripted(Refused(WRONG, "wrong_password"))], [make_method()])
    assert await ask(wrong) == Refused(WRONG, "wrong_password")


@pytest.mark.asyncio
async def test_a_state_that_waits_is_small(make_method):
    challenge = await ask(make_method())
    assert len(repr(challenge.state)) < 1000


@pytest.mark.asyncio
async def test_a_password_that_another_server_has_checked_is_not_tried_as_the_code(make_method):
    login = replace(LOGIN, password=code(), fields={"password": code()})
    own = replace(ALICE, code_only=True)
    outcome = await ask(make_method(), replace(login, user=own))  # its only secret is the code
    assert outcome.user == replace(own, code_only=False)
    outside = replace(own, external=True)
    challenge = await ask(make_method(), replace(login, user=outside, password="of the server"))
    assert (challenge.form, challenge.state.user) == (CODE_FORM, outside)
