# SPDX-License-Identifier: GPL-3.0-or-later
"""Events, actions, reasons and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

NO_RULE = 0xFFFF_FFFF  # the rule index of a verdict without a rule


class Action(StrEnum):
    """The decision on a request, in the order of ``enum se_action`` in ``native/gate.h``."""

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
MAX_CUSTOM_EVENTS = 240  # labels of one engine over all its policies: an event is a byte in the native tables
UNVERIFIED_EVENTS = frozenset({Event.DTLS_HANDSHAKE})  # the source may be spoofed: limited in the sketch only


class Reason(StrEnum):
    """The reason of a verdict. Codes are stable: logs, metrics and the API use them.

    The position is the number in ``se_verdict.reason``: append, never reorder.
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


class _RuleOfPolicy:
    """The rule of a verdict that the native core made, until ``rule_id`` is read.

    A policy may have a million names, more than any cache of a processor holds, and few verdicts are asked for theirs.
    """

    __slots__ = ("_names", "_rule")
    _names: Sequence[str] | None
    _rule: int

    def __getattr__(self, name: str) -> str | None:
        if name != "rule_id":
            raise AttributeError(name, name=name, obj=self)
        names = self._names
        if names is not None:
            object.__setattr__(self, "rule_id", names[self._rule])
            object.__setattr__(self, "_names", None)  # a kept verdict keeps no million names
        rule_id: str | None = object.__getattribute__(self, "rule_id")
        return rule_id


@dataclass(frozen=True, slots=True)
class Verdict(_RuleOfPolicy):
    """The answer to one request.

    ``rule_id`` names the deciding rule, if a rule decided. ``retry_after`` is seconds until a retry may succeed;
    ``None``: time changes nothing; ``inf``: a permanent penalty.
    """

    action: Action
    reason: Reason
    rule_id: str | None = None
    retry_after: float | None = None

    @property
    def accepted(self) -> bool:
        return self.action is Action.ACCEPT


INVALID = Verdict(Action.REJECT, Reason.INVALID_REQUEST)  # for a malformed request


def write_word(action: Action, reason: Reason) -> int:
    """Action and reason as a word without a rule, in the layout of ``se_pack_word`` in ``native/core.h``."""
    return ACTIONS.index(action) | REASONS.index(reason) << 8


def read_word(word: int) -> tuple[Action, Reason]:
    """Action and reason of a word. Its rule is known to the core alone."""
    return ACTIONS[word & 0xF], REASONS[word >> 8 & 0xFF]
