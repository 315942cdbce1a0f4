# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand sources guess one account: the guesses are bounded, and the owner logs in all the while."""

import asyncio
from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.vpn_frontend.auth.scripted import ALICE, Codes, Scripted, outcome_of
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.result import WRONG, Accepted, Challenge, FirstForm, Pending, Refused, Unavailable
from vpn_frontend.auth.throttled_method import MAX_LOOK_UPS, ThrottledMethod
from vpn_frontend.auth.user_throttle import FREE_FAILURES, MAX_DELAY, UserThrottle

OWNER = ip_address("192.0.2.1")
YES = Accepted(ALICE, ALICE.groups)


class Passwords(Scripted):
    """Accepts the password ``right``, after a wait."""

    def begin(self, login):
        self.logins.append(login)
        return Pending(lambda: self.check(login))

    async def check(self, login):
        await asyncio.sleep(0)
        return YES if login.password == "right" else Refused(WRONG, "wrong_password")


class Past:
    def __init__(self):
        self.known = set()
        self.asked = 0
        self.gate = None
        self.error = None

    async def has_logged_in(self, user, address):
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return (user, address) in self.known


class Bench:
    def __init__(self, method):
        self.now = 0.0
        self.past = Past()
        self.throttle = UserThrottle()
        self.inner = method
        self.method = ThrottledMethod(method, self.throttle, self.past, clock=lambda: self.now)

    async def try_login(self, user="alice", password="guess", address=OWNER, **more):
        return await outcome_of(self.method.begin(LoginRequest(user, password, "", address, **more)))

    async def attack(self, seconds, *, sources=1000):
        """Every source tries once a second in turn. Returns how many guesses were checked."""
        checked = 0
        for number in range(seconds):
            self.now += 1.0
            for turn in range(3):
                address = ip_address("198.18.0.0") + (3 * number + turn) % sources
                checked += (await self.try_login(address=address)).reason == "wrong_password"
        return checked


@pytest.fixture
def bench():
    return Bench(Passwords())


@pytest.mark.asyncio
async def test_a_thousand_sources_get_few_guesses_and_the_owner_gets_in(bench):
    assert await bench.try_login(password="right") == YES
    first = await bench.attack(3600)
    assert first <= FREE_FAILURES + 3600 / MAX_DELAY + 10
    second = await bench.attack(3600)
    assert second <= 3600 / MAX_DELAY + 1
    for _ in range(5):
        assert await bench.try_login(password="right") == YES, "at once, from a source of an earlier login"
    assert await bench.try_login("bob", "right", ip_address("203.0.113.9")) == YES, "no other user is slowed"


@pytest.mark.asyncio
async def test_the_owner_waits_at_a_new_place_but_not_with_a_known_device(bench):
    device = "0123456789abcdef"
    await bench.try_login(password="right", device_id=device)
    await bench.attack(60)
    elsewhere = ip_address("203.0.113.1")
    refused = await bench.try_login(password="right", address=elsewhere)
    assert (refused.reason, refused.final, refused.scored) == ("user_throttled", True, True)
    assert "for this account" in refused.text
    assert await bench.try_login(password="right", address=elsewhere, device_id=device) == YES
    bench.now += MAX_DELAY
    assert await bench.try_login(password="right", address=ip_address("203.0.113.2")) == YES


@pytest.mark.asyncio
async def test_a_restart_makes_no_owner_a_stranger(bench):
    bench.past.known.add(("alice", OWNER))
    await bench.attack(60)
    asked = bench.past.asked
    assert await bench.try_login(password="right") == YES
    assert await bench.try_login(password="right") == YES
    assert bench.past.asked == asked + 1, "the source is known from then on"
    assert (await bench.try_login(address=OWNER)).reason == "wrong_password", "its guesses are the policy's affair"


@pytest.mark.asyncio
async def test_look_ups_are_bounded_and_remembered(bench):
    await bench.attack(60)
    bench.past.asked, bench.past.gate = 0, asyncio.Event()
    sources = [ip_address("203.0.113.0") + number for number in range(MAX_LOOK_UPS + 4)]
    tries = [asyncio.create_task(bench.try_login(address=address)) for address in sources]
    done, _ = await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
    bench.past.gate.set()
    assert {outcome.reason for outcome in await asyncio.gather(*tries)} == {"user_throttled"}
    assert bench.past.asked == MAX_LOOK_UPS
    assert len(done) > 0
    await bench.try_login(address=sources[0])
    assert bench.past.asked == MAX_LOOK_UPS, "a stranger is not looked up again at once"
    bench.past.error = ConnectionError("the database is gone")
    assert (await bench.try_login(address=ip_address("203.0.113.99"))).reason == "user_throttled"


@pytest.mark.asyncio
async def test_names_without_a_user_wait_alike(bench):
    outcomes = []
    for user in ("alice", "nobody"):
        bench.now += 1000
        tries = [await bench.try_login(user, address=ip_address("198.18.0.1") + n) for n in range(30)]
        outcomes.append([(one.reason, one.text) for one in tries])
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][-1][0] == "user_throttled"


@pytest.mark.asyncio
async def test_many_right_logins_at_once_are_no_attack(bench):
    addresses = [ip_address("198.18.0.0") + number for number in range(300)]
    outcomes = await asyncio.gather(*(bench.try_login(password="right", address=one) for one in addresses))
    assert outcomes == [YES] * 300


@pytest.mark.asyncio
async def test_codes_of_a_second_round_count_for_the_user():
    bench = Bench(Codes("1", wait=True))
    challenge = await bench.try_login()
    for _ in range(FREE_FAILURES + 1):
        refused = await outcome_of(bench.method.answer(challenge.state, {"answer": "x"}))
        assert isinstance(refused.retry, Challenge)
        challenge = refused.retry
    assert (await outcome_of(bench.method.answer(challenge.state, {"answer": "1"}))).reason == "user_throttled"
    bench.now += MAX_DELAY
    assert await outcome_of(bench.method.answer(challenge.state, {"answer": "1"})) == YES


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "outcome", [Unavailable("Down."), Refused("No certificate.", "none", scored=False), FirstForm()]
)
async def test_what_is_no_failure_counts_nothing(outcome):
    bench = Bench(Scripted(outcome, wait=True))
    assert [await bench.try_login() for _ in range(100)] == [outcome] * 100


@pytest.mark.asyncio
async def test_a_login_without_a_name_is_left_to_its_method():
    bench = Bench(Codes("1"))
    challenge = bench.method.begin(replace(LoginRequest("", "", "", OWNER), submitted=False))
    assert challenge.state == 0
    assert bench.method.answer(challenge.state, {"answer": "1"}) == YES
