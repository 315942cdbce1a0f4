# SPDX-License-Identifier: GPL-3.0-or-later
"""Which password hashes are accepted, and at which cost: the API, imports and the login ask here.

A hash names the work of its own check. Without bounds one imported user could keep a thread of the server busy for
minutes with each login. The bounds allow about half a second of one core and 64 MiB of memory.
"""

from __future__ import annotations

import re

from vpn_frontend.auth.password.crypt_hash import is_crypt_hash

# The first recommendation of OWASP's password storage cheat sheet below the profiles of RFC 9106 section 4. Those take
# 64 MB and about 0.1 s of a core for each login: too much for a server that also carries tunnels.
MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
OWN_SCHEME = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}"

MAX_MEMORY_KIB = 65_536  # of argon2id, and of yescrypt and scrypt: the second profile of RFC 9106 section 4
MAX_KIB_PASSES = 4 * MAX_MEMORY_KIB  # memory times passes of argon2id
MAX_LANES = 4  # each is a thread
MAX_ROUNDS = 700_000  # of SHA-256 and SHA-512 crypt; 5000 without a number
MAX_BCRYPT_COST = 13  # 2^13 rounds
MAX_PARALLELISM = 4  # of scrypt
UNACCEPTABLE = "neither an argon2id hash nor a crypt hash ($2b$, $5$, $6$, $7$ or $y$), or too costly to check"

_ARGON2ID = re.compile(
    r"(\$argon2id\$v=19\$m=(\d{1,6}),t=(\d{1,4}),p=(\d{1,2}))\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,86}", re.ASCII
)
_SHA = re.compile(r"(\$[56]\$(?:rounds=(\d{1,9})\$)?)", re.ASCII)
_BCRYPT = re.compile(r"(\$2[aby]\$(\d\d)\$)", re.ASCII)
_YESCRYPT = re.compile(r"(\$g?y\$j([./0-9A-Za-z])([./0-9A-Za-z])\$)", re.ASCII)
_SCRYPT = re.compile(r"(\$7\$([./0-9A-Za-z])([./0-9A-Za-z]{5})([./0-9A-Za-z]{5}))", re.ASCII)
_DIGITS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # of crypt(3)


def scheme_of(encoded: str) -> str | None:
    """Method and parameters of a hash, without its salt: hashes of one scheme cost the same to check.

    ``None``: not a hash, or above the bounds.
    """
    if (argon2id := _ARGON2ID.fullmatch(encoded)) is not None:
        memory, passes, lanes = int(argon2id[2]), int(argon2id[3]), int(argon2id[4])
        bounded = 8 * lanes <= memory <= MAX_MEMORY_KIB and memory * passes <= MAX_KIB_PASSES
        return argon2id[1] if bounded and passes >= 1 and 1 <= lanes <= MAX_LANES else None
    if not is_crypt_hash(encoded):
        return None
    if (sha := _SHA.match(encoded)) is not None:
        return sha[1] if int(sha[2] or 0) <= MAX_ROUNDS else None
    if (bcrypt := _BCRYPT.match(encoded)) is not None:
        return bcrypt[1] if int(bcrypt[2]) <= MAX_BCRYPT_COST else None
    if (yescrypt := _YESCRYPT.match(encoded)) is not None:
        return yescrypt[1] if _kib(_read(yescrypt[2]) + 1, _read(yescrypt[3]) + 1) <= MAX_MEMORY_KIB else None
    if (scrypt := _SCRYPT.match(encoded)) is not None:
        memory, parallelism = _kib(_read(scrypt[2]), _read(scrypt[3])), _read(scrypt[4])
        return scrypt[1] if memory <= MAX_MEMORY_KIB and parallelism <= MAX_PARALLELISM else None
    return None


def _kib(log_n: int, r: int) -> int:
    """Memory of scrypt and yescrypt: 128 bytes * N * r."""
    return (r << log_n) // 8


def _read(digits: str) -> int:
    """A number as crypt(3) writes it: six bits each, the lowest first."""
    return sum(_DIGITS.index(digit) << 6 * place for place, digit in enumerate(digits))
