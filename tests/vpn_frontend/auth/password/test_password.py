# SPDX-License-Identifier: GPL-3.0-or-later
import asyncio
import threading
from ipaddress import ip_address
from types import SimpleNamespace

import pytest
from argon2.exceptions import VerifyMismatchError

from lab.timeouts import TIMEOUT
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.password import checker as checks
from vpn_frontend.auth.password import crypt_hash, hashes
from vpn_frontend.auth.password.checker import PasswordChecker
from vpn_frontend.auth.password.hash_cost import OWN_SCHEME, scheme_of
from vpn_frontend.auth.password.hashes import hash_password, matches
from vpn_frontend.auth.password.method import PasswordMethod
from vpn_frontend.auth.result import WRONG, Accepted, OverloadError, Refused
from vpn_frontend.ports import UserRecord
from vpn_frontend.testing import MemoryDirectory


def test_a_password_matches_its_own_hash_only():
    encoded = hash_password("gr\u00fcn")
    assert encoded.startswith("$argon2id$")
    assert matches(encoded, "gr\u00fcn")
    assert not matches(encoded, "gr\u00fcn ")
    assert not matches(encoded, "")


@pytest.mark.parametrize(
    "encoded", [None, "", "secret", "$argon2id$v=19$m=1,t=1", "$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA"]
)
def test_without_a_valid_hash_no_password_matches(encoded):
    assert not matches(encoded, "secret")


def test_a_crypt_hash_is_accepted():
    encoded = "$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi."  # openssl passwd -5 -salt saltstring secret
    assert matches(encoded, "secret")
    assert not matches(encoded, "wrong")


def test_an_unknown_user_costs_a_real_verification(monkeypatch):
    verified = []
    monkeypatch.setattr(hashes, "_hasher", type("Hasher", (), {"verify": lambda _, *given: verified.append(given)})())
    assert not matches(None, "secret")
    assert verified == [(hashes._UNKNOWN, "secret")]


def test_the_hash_of_unknown_users_has_the_parameters_of_stored_ones():
    """So that its check does the same work, and ends in a mismatch instead of an error."""
    assert scheme_of(hashes._UNKNOWN) == scheme_of(hash_password("secret")) == OWN_SCHEME
    assert [len(part) for part in hashes._UNKNOWN.split("$")] == [len(p) for p in hash_password("x").split("$")]
    with pytest.raises(VerifyMismatchError):
        hashes._hasher.verify(hashes._UNKNOWN, "secret")


@pytest.mark.asyncio
async def test_checks_beyond_the_limit_are_refused_at_once(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(checks, "matches", lambda *_: release.wait(TIMEOUT))
    checker = PasswordChecker(threads=1, max_waiting=3)
    try:
        waiting = [asyncio.create_task(checker.check(None, "x")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadError):
            await checker.check(None, "x")
        release.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert await checker.check(None, "x")
    finally:
        release.set()
        checker.close()


class Busy:
    """A checker with one thread that is held up at its first check, and four places."""

    def __init__(self, monkeypatch):
        self.release, self.made, self._began = threading.Event(), [], threading.Event()
        monkeypatch.setattr(checks, "matches", self._match)
        self.checker = PasswordChecker(threads=1, max_waiting=4)

    def _match(self, encoded, word, _):
        self.made.append(word)
        self._began.set()
        assert self.release.wait(TIMEOUT)
        return encoded is not None

    async def begin(self):
        return self.ask("first", "203.0.113.1"), await asyncio.to_thread(self._began.wait, TIMEOUT)

    def ask(self, word, source, encoded=None):
        return asyncio.ensure_future(self.checker.check(encoded, word, ip_address(source)))

    async def end(self):
        self.release.set()
        self.checker.close()


@pytest.mark.asyncio
async def test_guesses_of_many_sources_do_not_take_the_places_of_others(monkeypatch):
    """Three sources that have guessed before fill the queue. One that has not gets in, and is the next."""
    busy = Busy(monkeypatch)
    busy.release.set()
    guessers = [f"198.51.100.{number}" for number in range(1, 4)]
    await asyncio.gather(*(busy.ask("before", source) for source in guessers))
    busy.release.clear()
    busy.made.clear()
    busy._began.clear()
    try:
        first, _ = await busy.begin()
        guesses = [busy.ask("guess", source) for source in guessers]
        await asyncio.sleep(0)
        real = busy.ask("real", "192.0.2.7", "$argon2id$x")
        await asyncio.wait([guesses[2]], timeout=TIMEOUT)
        with pytest.raises(OverloadError):
            guesses[2].result()
        busy.release.set()
        assert await real
        await asyncio.wait([first, *guesses], timeout=TIMEOUT)
        assert busy.made == ["first", "real", "guess", "guess"]
    finally:
        await busy.end()


@pytest.mark.asyncio
async def test_one_source_with_many_checks_leaves_places_to_others(monkeypatch):
    busy = Busy(monkeypatch)
    try:
        first, _ = await busy.begin()
        many = [busy.ask(f"many {number}", "198.51.100.1") for number in range(3)]
        await asyncio.sleep(0)
        real = busy.ask("real", "192.0.2.7", "$argon2id$x")
        await asyncio.sleep(0)
        assert many[2].done() or await asyncio.wait([many[2]], timeout=TIMEOUT)
        busy.release.set()
        assert await real
        await asyncio.wait([first, *many], timeout=TIMEOUT)
        assert busy.made == ["first", "many 0", "real", "many 1"]
        assert (busy.checker._waiting, busy.checker._under_way) == (0, {})
    finally:
        await busy.end()


class Shared:
    """A checker that remembers passwords, whose only thread is held up at its first check."""

    def __init__(self, monkeypatch):
        self.release, self.made, self._began = threading.Event(), [], threading.Event()
        monkeypatch.setattr(checks, "matches", self._match)
        self.checker = PasswordChecker(threads=1, max_waiting=8, remember=60)

    def _match(self, encoded, word, _):
        self.made.append((encoded, word))
        self._began.set()
        assert self.release.wait(TIMEOUT)
        return word == "right"

    async def begin(self, *given):
        task = self.ask(*given)
        assert await asyncio.to_thread(self._began.wait, TIMEOUT)
        return task

    def ask(self, word, name, encoded="hash", source="192.0.2.1"):
        return asyncio.ensure_future(self.checker.check(encoded, word, ip_address(source), name))

    async def end(self):
        self.release.set()
        self.checker.close()


@pytest.mark.asyncio
async def test_logins_of_one_user_that_come_together_cost_one_hash(monkeypatch):
    """Neither another name nor another password or hash is taken for the same, and unknown users do not differ."""
    shared = Shared(monkeypatch)
    try:
        first = await shared.begin("right", "alice")
        others = [
            shared.ask("right", "alice", source="198.51.100.9"),
            shared.ask("right", "alice"),
            shared.ask("wrong", "alice"),
            shared.ask("wrong", "alice"),
            shared.ask("right", "alice", "another hash"),
            shared.ask("right", "bob"),
            *(shared.ask("wrong", "unknown", None) for _ in range(3)),
        ]
        await asyncio.sleep(0)
        shared.release.set()
        right = await asyncio.gather(first, *others)
        assert right == [True, True, True, False, False, True, True, False, False, False]
        assert sorted(shared.made, key=str) == [
            ("another hash", "right"),
            ("hash", "right"),
            ("hash", "right"),
            ("hash", "wrong"),
            (None, "wrong"),
        ]
        assert await shared.ask("wrong", "alice") is False
        assert len(shared.made) == 6
        assert (shared.checker._shared, shared.checker._waiting, shared.checker._under_way) == ({}, 0, {})
    finally:
        await shared.end()


@pytest.mark.asyncio
async def test_a_shared_check_goes_on_until_all_callers_gave_up(monkeypatch):
    shared = Shared(monkeypatch)
    try:
        first = await shared.begin("other", "alice")
        given_up, left = shared.ask("right", "alice"), shared.ask("right", "alice")
        gone = [shared.ask("wrong", "alice") for _ in range(2)]
        await asyncio.sleep(0)
        for task in (given_up, *gone):
            task.cancel()
        await asyncio.wait([given_up, *gone])
        late = shared.ask("wrong", "alice")  # those before it have given up: a check of its own
        await asyncio.sleep(0)
        shared.release.set()
        assert await asyncio.gather(first, left, late) == [False, True, False]
        assert [word for _, word in shared.made] == ["other", "right", "wrong"]
    finally:
        await shared.end()


@pytest.mark.asyncio
async def test_a_login_does_not_wait_with_one_of_a_lower_standing(monkeypatch):
    """A source that has guessed knows the password, too. Its check is later, and may be displaced."""
    shared = Shared(monkeypatch)
    shared.release.set()
    await shared.ask("guess", "alice", source="198.51.100.1")
    shared.release.clear()
    shared._began.clear()
    shared.made.clear()
    try:
        first = await shared.begin("other", "bob")
        guesser = shared.ask("right", "alice", source="198.51.100.1")
        await asyncio.sleep(0)
        filler = [shared.ask(f"filler {number}", "bob", source=f"192.0.2.{number}") for number in range(10, 15)]
        await asyncio.sleep(0)
        real = shared.ask("right", "alice", source="203.0.113.5")
        await asyncio.sleep(0)
        last = shared.ask("last", "carol", source="203.0.113.6")
        with pytest.raises(OverloadError):
            await guesser
        shared.release.set()
        assert await real
        await asyncio.gather(first, last, *filler)
    finally:
        await shared.end()


@pytest.mark.asyncio
async def test_without_a_memory_of_passwords_each_login_costs_a_hash(monkeypatch):
    made = []
    monkeypatch.setattr(checks, "matches", lambda *given: made.append(given) or True)
    checker = PasswordChecker(threads=1)
    try:
        assert await asyncio.gather(*(checker.check("hash", "right", None, "alice") for _ in range(3))) == [True] * 3
    finally:
        checker.close()
    assert len(made) == 3


@pytest.mark.asyncio
async def test_a_check_too_slow_is_overload_and_keeps_its_place_until_done(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(checks, "matches", lambda *_: release.wait(TIMEOUT))
    checker = PasswordChecker(threads=1, max_waiting=1, deadline=0.01)
    try:
        with pytest.raises(OverloadError):
            await checker.check(None, "x")
        with pytest.raises(OverloadError):
            await checker.check(None, "x")
        assert checker._waiting == 1
    finally:
        release.set()
        checker.close()


@pytest.mark.asyncio
async def test_a_user_without_a_hash_is_refused_at_the_cost_of_a_wrong_password(monkeypatch):
    verified = []
    monkeypatch.setattr(checks, "matches", lambda *given: verified.append(given) or False)
    directory = MemoryDirectory([UserRecord("alice"), UserRecord("bob", "$argon2id$x")], recalls=True)
    checker = PasswordChecker(threads=1, remember=60)
    method = PasswordMethod(directory, checker)
    try:
        for name in ("alice", "bob", "nobody"):
            refused = await method.begin(LoginRequest(name, "secret", "", ip_address("192.0.2.1"))).wait()
            assert refused == Refused(WRONG, "wrong_password")
    finally:
        checker.close()
    assert verified == [(None, "secret", ()), ("$argon2id$x", "secret", ()), (None, "secret", ())]


@pytest.mark.asyncio
async def test_one_login_over_many_connections_costs_one_hash_even_of_an_unknown_user(monkeypatch):
    verified = []
    monkeypatch.setattr(checks, "matches", lambda *given: verified.append(given[0]) or False)
    directory = MemoryDirectory([UserRecord("bob", "$argon2id$x")], recalls=True)
    checker = PasswordChecker(threads=1, remember=60)
    method = PasswordMethod(directory, checker)
    try:
        for name in ("bob", "unknown"):
            logins = [LoginRequest(name, "secret", "", ip_address(f"192.0.2.{number}")) for number in range(1, 5)]
            refused = await asyncio.gather(*(method.begin(login).wait() for login in logins))
            assert refused == [Refused(WRONG, "wrong_password")] * 4
    finally:
        checker.close()
    assert verified == ["$argon2id$x", None]


@pytest.fixture
def hashes_made(monkeypatch):
    """Schemes of the hashes that are made: work is counted, not time."""
    made = []

    def verify(encoded, password):
        made.append(scheme_of(encoded))
        return (encoded, password) == RIGHT

    monkeypatch.setattr(hashes, "_matches_one", verify)
    return made


OWN = hash_password("mine")
CRYPT = "$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi."
BCRYPT = "$2b$12$GhvMmNVjRW29ulnudl.LbuAnUtN/LRfe1JsBm1Xu6LE3059z5Tr8m"
RIGHT = (CRYPT, "secret")


@pytest.mark.asyncio
async def test_a_check_costs_the_same_for_every_user_and_for_none(hashes_made):
    checker = PasswordChecker(threads=1)
    for sample in (CRYPT, BCRYPT, OWN):
        checker.learn(sample)
    try:
        work = []
        for encoded, given in ((OWN, "x"), (CRYPT, "secret"), (CRYPT, "x"), (BCRYPT, "x"), (None, "x"), ("junk", "x")):
            assert await checker.check(encoded, given) is ((encoded, given) == RIGHT)
            work.append(sorted(hashes_made))
            hashes_made.clear()
    finally:
        checker.close()
    assert work == [sorted(map(scheme_of, (OWN, CRYPT, BCRYPT)))] * 6


@pytest.mark.asyncio
async def test_a_scheme_is_known_from_its_first_user_on(hashes_made):
    checker = PasswordChecker(threads=1)
    try:
        await checker.check(CRYPT, "x")
        hashes_made.clear()
        await checker.check(None, "x")
    finally:
        checker.close()
    assert sorted(hashes_made) == sorted([scheme_of(OWN), scheme_of(CRYPT)])


def test_a_password_with_a_nul_is_hashed_and_never_right(monkeypatch):
    made = []
    real = crypt_hash._libcrypt()
    library = SimpleNamespace(crypt_r=lambda *given: made.append(given[0]) or real.crypt_r(*given))
    monkeypatch.setattr(crypt_hash, "_libcrypt", lambda: library)
    assert not matches(CRYPT, "secret\0and more")
    assert not matches(CRYPT, "secret\0")
    assert len(made) == 2


@pytest.mark.asyncio
async def test_closing_waits_for_no_hash(monkeypatch):
    release, began = threading.Event(), threading.Event()
    monkeypatch.setattr(checks, "matches", lambda *_: began.set() or release.wait(TIMEOUT))
    checker = PasswordChecker(threads=1)
    running, queued = (asyncio.create_task(checker.check(None, "x")) for _ in range(2))
    assert await asyncio.to_thread(began.wait, TIMEOUT)
    checker.close()
    assert not running.done()
    with pytest.raises(OverloadError):
        await checker.check(None, "x")
    release.set()
    await asyncio.wait([running, queued], timeout=TIMEOUT)
    assert running.cancelled()
    assert queued.cancelled()


@pytest.mark.asyncio
async def test_a_check_that_its_caller_gave_up_is_skipped(monkeypatch):
    release, began, made = threading.Event(), threading.Event(), []
    monkeypatch.setattr(
        checks, "matches", lambda _, given, __: made.append(given) or began.set() or release.wait(TIMEOUT)
    )
    checker = PasswordChecker(threads=1)
    try:
        first, second, third = (asyncio.create_task(checker.check(None, word)) for word in ("first", "second", "third"))
        assert await asyncio.to_thread(began.wait, TIMEOUT)
        second.cancel()
        await asyncio.wait([second])
        release.set()
        await asyncio.gather(first, third)
    finally:
        release.set()
        checker.close()
    assert made == ["first", "third"]


@pytest.mark.asyncio
@pytest.mark.parametrize("present", [None, UserRecord("alice", OWN), UserRecord("alice", None)])
async def test_a_password_that_changes_during_its_check_lets_nobody_in(monkeypatch, present):
    directory = MemoryDirectory([UserRecord("alice", CRYPT)])
    checker = PasswordChecker(threads=1)

    def change(*_):
        directory.users = {} if present is None else {"alice": present}
        return True

    monkeypatch.setattr(checks, "matches", change)
    try:
        method = PasswordMethod(directory, checker)
        outcome = await method.begin(LoginRequest("alice", "secret", "", ip_address("192.0.2.1"))).wait()
    finally:
        checker.close()
    assert outcome == Refused(WRONG, "wrong_password")


@pytest.mark.asyncio
async def test_what_is_accepted_is_the_user_as_of_after_the_check(monkeypatch):
    disabled = UserRecord("alice", CRYPT, enabled=False)
    directory = MemoryDirectory([UserRecord("alice", CRYPT)])
    checker = PasswordChecker(threads=1)
    monkeypatch.setattr(checks, "matches", lambda *_: directory.users.update(alice=disabled) or True)
    try:
        method = PasswordMethod(directory, checker)
        outcome = await method.begin(LoginRequest("alice", "secret", "", ip_address("192.0.2.1"))).wait()
    finally:
        checker.close()
    assert outcome == Accepted(disabled, ())


def test_a_password_is_one_round():
    method = PasswordMethod(MemoryDirectory(), None)
    with pytest.raises(TypeError):
        method.answer(None, {})
