# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases of connected clients, counted per user and in total, granted and released atomically.

A lease is one client. A session that reconnects (roaming, a second tunnel, TLS beside DTLS) names its ``session`` and
counts as the same client. Its lease keeps its id and gets the next generation. ``release`` affects the newest
generation only, once: the teardown of an old connection, a double disconnect or a late timer change nothing. The caller
must keep the lease that ``admit`` returned last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from enum import StrEnum
from itertools import count
from threading import Lock

from sentry_engine.records import dataclass
from sentry_engine.rules.user_rules import REFUSAL_TEXTS
from sentry_engine.verdict import Action, Reason, Verdict

ID_PREFIX = "lease-"
TEXTS = REFUSAL_TEXTS | {Reason.INVALID_REQUEST: "The request cannot be understood."}
REFUSED_TEXT = "Access from this address is not allowed at present."


class OnExcess(StrEnum):
    """The response to a client over the limit: refuse it, evict the oldest, or evict the same device."""

    DENY_NEW = "deny_new"
    KICK_OLDEST = "kick_oldest"
    REPLACE_SAME_DEVICE = "replace_same_device"


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Maximum numbers of clients; 0: no limit. A user's limit wins over the largest of its groups, over the general."""

    max_clients: int = 1024
    max_same_clients: int = 2
    on_excess: OnExcess | str = OnExcess.DENY_NEW
    per_group: Mapping[str, int] = field(default_factory=dict)
    per_user: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        OnExcess(self.on_excess)
        numbers = (self.max_clients, self.max_same_clients, *self.per_group.values(), *self.per_user.values())
        if any(number < 0 for number in numbers):
            raise ValueError("a limit of clients is 0 (none) or more")

    def of(self, user: str, groups: tuple[str, ...] = ()) -> int:
        if user in self.per_user:
            return self.per_user[user]
        given = [self.per_group[group] for group in groups if group in self.per_group] if self.per_group else ()
        if given:
            return 0 if 0 in given else max(given)
        return self.max_same_clients


@dataclass(frozen=True, slots=True)
class Lease:
    """``evicts`` lists ids of leases that ended in favour of this one. The caller closes their sessions."""

    id: str
    generation: int
    user: str
    address: str
    since: float  # engine's clock, of the first generation
    groups: tuple[str, ...] = ()
    device: str | None = None
    session: str | None = None
    evicts: tuple[str, ...] = ()


class AdmissionRefused(Exception):  # noqa: N818  # the name says what happened
    """``text`` may be shown to the user: it names no rule and no address."""

    def __init__(self, verdict: Verdict, text: str) -> None:
        self.verdict = verdict
        self.text = text
        super().__init__(text)


def refuse_admission(verdict: Verdict) -> AdmissionRefused:
    """With the text for users that fits ``verdict``."""
    return AdmissionRefused(verdict, TEXTS.get(verdict.reason, REFUSED_TEXT))


class LeaseTable:
    """Thread-safe. Bounded by ``ClientLimits.max_clients``, or by memory if that is 0."""

    def __init__(self, limits: ClientLimits) -> None:
        self.limits = limits
        self._lock = Lock()
        self._numbers = count(1)
        self._by_id: dict[str, Lease] = {}  # in order of admission
        # By user, in order of admission: its session, or the number of a lease without one -> the lease's id.
        self._by_user: dict[str, dict[str | int, str]] = {}

    def admit(
        self,
        user: str,
        address: str,
        *,
        now: float,
        groups: tuple[str, ...] = (),
        device: str | None = None,
        limit: int | None = None,
        session: str | None = None,
    ) -> Lease:
        """Grant a lease. ``limit`` of the user directory overrides ``ClientLimits``.

        Raises ``AdmissionRefused``; then nothing changes.
        """
        with self._lock:
            known = self._find(user, session)
            if known is not None:
                lease = replace(known, generation=known.generation + 1, address=address, evicts=())
                self._by_id[known.id] = lease
                return lease
            allowed = self.limits.of(user, groups) if limit is None else limit
            evicted = self._choose_evicted(user, device, allowed)
            if self.limits.max_clients and len(self._by_id) - len(evicted) >= self.limits.max_clients:
                verdict = Verdict(Action.REJECT, Reason.MAX_CLIENTS)
                raise AdmissionRefused(verdict, "The server is full. Try again later.")
            for lease_id in evicted:
                self._remove(lease_id)
            number = next(self._numbers)
            lease = Lease(f"{ID_PREFIX}{number}", 1, user, address, now, groups, device, session, evicted)
            self._by_id[lease.id] = lease
            self._by_user.setdefault(user, {})[_key_of(lease)] = lease.id
            return lease

    def release(self, lease: Lease) -> bool:
        """End a lease. Returns whether this call did."""
        with self._lock:
            held = self._by_id.get(lease.id)
            if held is None or held.generation != lease.generation:
                return False
            self._remove(lease.id)
            return True

    def find(self, user: str, session: str | None) -> Lease | None:
        with self._lock:
            return self._find(user, session)

    def list(self, user: str | None = None) -> list[Lease]:
        with self._lock:
            if user is None:
                return list(self._by_id.values())
            return [self._by_id[lease_id] for lease_id in self._by_user.get(user, {}).values()]

    def _find(self, user: str, session: str | None) -> Lease | None:
        own = self._by_user.get(user)
        lease_id = None if own is None or session is None else own.get(session)
        return None if lease_id is None else self._by_id[lease_id]

    def _choose_evicted(self, user: str, device: str | None, allowed: int) -> tuple[str, ...]:
        """The ids to evict so one more client of ``user`` fits. Raises ``AdmissionRefused`` if none may be evicted."""
        own = self._by_user.get(user, {})
        excess = len(own) - allowed + 1 if allowed else 0
        if excess <= 0:
            return ()
        held = [self._by_id[lease_id] for lease_id in own.values()]
        if self.limits.on_excess == OnExcess.KICK_OLDEST:
            return tuple(lease.id for lease in held[:excess])
        if self.limits.on_excess == OnExcess.REPLACE_SAME_DEVICE and device is not None:
            same = tuple(lease.id for lease in held if lease.device == device)
            if len(same) >= excess:
                return same[:excess]
        clients = "1 client" if allowed == 1 else f"{allowed} clients"
        text = f"This user is already connected with {clients}, the most allowed. Disconnect one and try again."
        raise AdmissionRefused(Verdict(Action.REJECT, Reason.MAX_SAME_CLIENTS), text)

    def _remove(self, lease_id: str) -> None:
        lease = self._by_id.pop(lease_id)
        own = self._by_user[lease.user]
        del own[_key_of(lease)]
        if not own:
            del self._by_user[lease.user]


def _key_of(lease: Lease) -> str | int:
    return int(lease.id.removeprefix(ID_PREFIX)) if lease.session is None else lease.session
