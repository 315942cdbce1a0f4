# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the table of keys, and what reads the usual kinds of values.

A row says what becomes of one key of ocserv. ``read`` puts its values into the target; a row without one is ignored or
refused with its ``note``, or is read together with other keys by one of the assemblies.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from ocsentry.configuration.ocserv.target import Outcome, Target
from sentry_engine.records import dataclass
from vpn_frontend.ocserv.values import is_default_route, read_network, read_number, read_switch

if TYPE_CHECKING:
    from collections.abc import Callable

    from vpn_frontend.ocserv.grammar import Entry

    Read = Callable[[Target, tuple[Entry, ...]], None]

YEAR = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Row:
    """One key. ``target`` names the keys of the TOML file; ``note`` says what differs, why, or what to do."""

    key: str
    outcome: Outcome
    target: str = ""
    note: str = ""
    read: Read | None = None
    alias: str = ""  # an older name
    several: bool = False  # every value counts; otherwise the last one


def mapped(key: str, target: str, read: Read | None, note: str = "", *, alias: str = "", several: bool = False) -> Row:
    return Row(key, Outcome.MAPPED, target, note, read, alias, several)


def differs(key: str, target: str, note: str, read: Read | None, *, alias: str = "", several: bool = False) -> Row:
    return Row(key, Outcome.DIFFERS, target, note, read, alias, several)


def ignored(key: str, note: str, *, alias: str = "", several: bool = False) -> Row:
    return Row(key, Outcome.IGNORED, "", note, None, alias, several)


def refused(key: str, note: str, read: Read | None = None, *, several: bool = False) -> Row:
    return Row(key, Outcome.REFUSED, "", note, read, several=several)


def assembled(_target: Target, _entries: tuple[Entry, ...]) -> None:
    """Read later, together with other keys."""


# -- kinds of values; each takes the last entry unless it says otherwise


def text(key: str) -> Read:
    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        target.set(key, entries[-1].value, entries[-1])

    return read


def path(key: str) -> Read:
    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        target.set(key, target.file(entries[-1], entries[-1].value), entries[-1])

    return read


def number_of(target: Target, entry: Entry) -> int | None:
    """The number of an entry, with a note if it looks like another one; ``None``: it is refused."""
    try:
        value, remark = read_number(entry.value)
    except ValueError as error:
        target.refuse(entry, str(error))
        return None
    if remark:
        target.differs(entry, remark)
    return value


def switch_of(target: Target, entry: Entry) -> bool:
    value, remark = read_switch(entry.value)
    if remark:
        target.differs(entry, remark)
    return value


def number(key: str, *, low: int = 0, high: int = YEAR, zero: int | None = None) -> Read:
    """A number within bounds; ``zero`` is what 0 means."""

    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        entry = entries[-1]
        value = number_of(target, entry)
        if value is None:
            return
        if value == 0 and zero is not None:
            value = zero
        bounded = min(max(value, low), high)
        if bounded != value:
            target.differs(entry, f"{value} becomes {bounded}, the nearest that {key} may be")
        target.set(key, bounded, entry)

    return read


def switch(key: str) -> Read:
    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        target.set(key, switch_of(target, entries[-1]), entries[-1])

    return read


def networks(key: str) -> Read:
    """All entries. A default route empties the list, as in ocserv."""

    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        found: list[str] = []
        for entry in entries:
            if is_default_route(entry.value):
                found = []
                break
            try:
                network, remark = read_network(entry.value)
            except ValueError as error:
                target.refuse(entry, str(error))
                continue
            if remark:
                target.differs(entry, remark)
            if str(network) not in found:
                found.append(str(network))
        target.set(key, found, entries[-1])

    return read


def addresses(key: str, *, most: int, versions: tuple[int, ...] = (4, 6)) -> Read:
    """All entries, in their order, up to ``most``."""

    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        found: list[str] = []
        for entry in entries:
            try:
                address = ip_address(entry.value)
            except ValueError:
                target.refuse(entry, f"{entry.value!r} is not an address")
                continue
            if address.version not in versions:
                target.ignore(entry, f"{key} has IPv4 addresses only")
            elif len(found) == most:
                target.differs(entry, f"{key} has at most {most} addresses: this one is left out")
            elif str(address) not in found:
                found.append(str(address))
        target.set(key, found, entries[-1])

    return read


def refused_if_on(note: str) -> Read:
    """A switch that can only be off."""

    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        if switch_of(target, entries[-1]):
            target.refuse(entries[-1], note)

    return read


def ignored_if_on(note: str) -> Read:
    """A switch that has no effect; on, the operator is told."""

    def read(target: Target, entries: tuple[Entry, ...]) -> None:
        if switch_of(target, entries[-1]):
            target.ignore(entries[-1], note)

    return read
