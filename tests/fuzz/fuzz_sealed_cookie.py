# SPDX-License-Identifier: GPL-3.0-or-later
"""Cookies of a fleet: any text opens nothing, and a change at any place of a sealed one is refused."""

import sys

import atheris

with atheris.instrument_imports():
    from vpn_frontend.sessions.cookies import DIGEST_SIZE, digest_of
    from vpn_frontend.sessions.sealed_cookies import KeyRing, SealedLogin, decode

RING = KeyRing({1: bytes(32), 2: bytes(range(32))}, 2)
LOGIN = SealedLogin(bytes(16), 1, 2, "alice", "staff")
SEALED = RING.seal(LOGIN)
assert RING.open(SEALED) == LOGIN


def fuzz_one(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    at = provider.ConsumeIntInRange(0, len(SEALED))
    width = provider.ConsumeIntInRange(0, 8)
    patch = provider.ConsumeUnicode(300)
    for text in (patch, SEALED[:at] + patch + SEALED[at + width :]):
        if text != SEALED:
            assert RING.open(text) is None
        digest = digest_of(text)
        assert digest is None or len(digest) == DIGEST_SIZE
        assert decode(text) is None or digest is not None


atheris.Setup(sys.argv, fuzz_one)
atheris.Fuzz()
