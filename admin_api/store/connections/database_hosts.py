# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL with several hosts: a primary and its standbys, one of which takes over when the primary is lost.

libpq tries the hosts of an address one after another, but waits for one that answers nothing until the caller's own
deadline, and begins with it again the next time. So a switched-off host would hide those behind it for good. Here each
host has its share of the time, and the one that has answered last is asked first. A session that cannot write is
refused (``target_session_attrs``, read-write unless the address says otherwise): a standby is passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

Options = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One host: libpq's parameters, and how many hosts are left with it."""

    number: int
    options: Options
    left: int


class DatabaseHosts:
    """``options``: libpq's parameters, ``host`` and ``port`` as lists with commas."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._each = _split(dict(options))
        self._first = 0

    def __len__(self) -> int:
        return len(self._each)

    def in_turn(self) -> list[Attempt]:
        """All hosts, the one that has answered last before the others."""
        count = len(self._each)
        order = [(self._first + number) % count for number in range(count)]
        return [Attempt(one, self._each[one], count - number) for number, one in enumerate(order)]

    def answered(self, attempt: Attempt) -> None:
        """This one can be written to."""
        self._first = attempt.number


def _split(options: Options) -> list[Options]:
    hosts = str(options.get("host") or "").split(",")
    if len(hosts) < 2 or options.get("hostaddr"):
        return [options]
    ports = str(options.pop("port", None) or "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    options.setdefault("target_session_attrs", "read-write")
    return [
        {**options, "host": host, **({"port": port} if port else {})} for host, port in zip(hosts, ports, strict=True)
    ]
