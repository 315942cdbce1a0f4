# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's vocabulary: what is asked, what is answered, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

NO_RULE = 0xFFFF_FFFF  # the rule index of a verdict that no rule gave


class Action(StrEnum):
    """What happens to the source. The order of definition is the order of ``enum se_action`` in ``native/gate.h``."""

    ACCEPT = "accept"
    REJECT = "reject"
    RATE_LIMITED = "rate_limited"


ACTIONS = tuple(Action)


class Event(IntEnum):
    """The built-in events, numbered as ``enum se_event`` in ``native/gate.h``."""

    CONNECT = 0
    TLS_HANDSHAKE_FAILED = 1
    DTLS_HANDSHAKE = 2
    AUTH_FAILURE = 3
    AUTH_SUCCESS = 4
    SESSION_START = 5
    DISCONNECT = 6


FIRST_CUSTOM_EVENT = 16
UNVERIFIED_EVENTS = frozenset({Event.DTLS_HANDSHAKE})  # their source may be spoofed: counted in the sketch only


class Reason(StrEnum):
    """Why a verdict is what it is. Codes are stable: logs, metrics, the API and tests speak them.

    The position is the number on the wire between the cores (``se_verdict.reason``): append, never reorder.
    """

    DEFAULT = "default"
    NEVER_BLOCK = "never_block"
    RULE = "rule"
    PENALTY = "penalty"
    BLACKLISTED = "blacklisted"
    FEED = "feed"
    COUNTRY = "country"
    CONTINENT = "continent"
    ASN = "asn"
    ANONYMIZER = "anonymizer"
    GEOIP_MISSING = "geoip_missing"
    RATE_LIMIT = "rate_limit"
    WITHIN_LIMIT = "within_limit"
    INVALID_REQUEST = "invalid_request"
    MAX_CLIENTS = "max_clients"
    MAX_SAME_CLIENTS = "max_same_clients"
    USER_DISABLED = "user_disabled"
    USER_EXPIRED = "user_expired"
    SCHEDULE = "schedule"
    USER_NETWORK = "user_network"
    USER_COUNTRY = "user_country"
    PASSWORD_SPRAY = "password_spray"  # noqa: S105  # a code, not a password
    CREDENTIAL_STUFFING = "credential_stuffing"
    NEW_COUNTRY = "new_country"
    IMPOSSIBLE_TRAVEL = "impossible_travel"


REASONS = tuple(Reason)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one request.

    ``rule_id`` names the rule that decided, where one did. ``retry_after`` is seconds until asking again may help:
    ``None`` where time changes nothing, ``inf`` for a penalty without end.
    """

    action: Action
    reason: Reason
    rule_id: str | None = None
    retry_after: float | None = None

    @property
    def accepted(self) -> bool:
        return self.action is Action.ACCEPT


INVALID = Verdict(Action.REJECT, Reason.INVALID_REQUEST)  # on what cannot be understood


def write_word(action: Action, reason: Reason) -> int:
    """An answer as a number, without its rule: the layout is that of ``se_pack_word`` in ``native/core.h``."""
    return ACTIONS.index(action) | REASONS.index(reason) << 8


def read_word(word: int) -> tuple[Action, Reason]:
    """What an answer in a word says, as far as it can be told without the core that gave it."""
    return ACTIONS[word & 0xF], REASONS[word >> 8 & 0xFF]
