# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet whose answers the test gives. The real fleet is in tests/admin_api/fleet."""

from __future__ import annotations

from itertools import islice

from vpn_frontend.auth.shared_failures import SharedFailures
from vpn_frontend.sessions.fleet.port import AdmitStatus, Answer, Claim, ClaimStatus, Standing
from vpn_frontend.sessions.sealed_cookies import KeyRing


class ScriptedFleet:
    """Lends all it is asked for, and answers admissions and claims as told. What it heard is in its lists."""

    def __init__(self):
        self.keys = KeyRing({1: bytes(32)}, 1)
        self.failures = SharedFailures(bytes(32))
        self.cut_off, self.alone_is_allowed, self.draining, self.routed = False, True, False, False
        self.lost, self.kept, self.ended, self.logged_out = [], [], [], []
        self.admitted, self.released, self.given_back, self.contested = [], [], [], []
        self.batches = []  # how many were admitted again in one call
        self.answers = []  # of the next admissions; OK after them
        self.claim_answer = Claim(ClaimStatus.UNKNOWN)
        self.standings, self.own, self.lent_now = {}, {}, {}
        self.free = {}

    async def admit(self, entry):
        self.admitted.append(entry)
        answer = self.answers.pop(0) if self.answers else Answer(AdmitStatus.OK)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def admit_several(self, entries):
        self.batches.append(len(entries))
        return [await self.admit(entry) for entry in entries]

    async def contest(self, holders):
        self.contested += holders

    async def claim(self, session, digest, source):
        if isinstance(self.claim_answer, BaseException):
            raise self.claim_answer
        return self.claim_answer

    def release(self, session, generation, user):
        self.released.append((session, generation))

    def end(self, session, generation, user):
        self.ended.append(session)
        if generation:
            self.release(session, generation, user)

    def keep_login(self, login):
        self.kept.append(login)

    def log_out(self, session, digest):
        self.logged_out.append((session, digest))

    def lose(self, session, generation):
        self.lost.append((session, generation))

    async def lend(self, pool, count, address=None):
        if address is not None:
            return [address]
        free = self.free.setdefault(pool, iter([pool[number] for number in range(2, 6)]))
        return [*islice(free, count)]

    async def lent(self, pool):
        return self.lent_now.get(pool, [])

    def give_back(self, pool, addresses):
        self.given_back += addresses

    async def own_sessions(self):
        return self.own

    async def reassert(self, held):
        return {session: self.standings.get(session, Standing.OK) for session in held}
