# SPDX-License-Identifier: GPL-3.0-or-later
"""The translation of one file: from ocserv's entries to the document that the configuration's model takes.

Reads other files only through its ``Surroundings``, and writes none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ocsentry.configuration.ocserv import assemblies
from ocsentry.configuration.ocserv.bans import assemble_bans
from ocsentry.configuration.ocserv.hosts import add_hosts
from ocsentry.configuration.ocserv.methods import assemble_methods
from ocsentry.configuration.ocserv.server_keys import log_level
from ocsentry.configuration.ocserv.table import ALIASES, BY_KEY, ROWS, USER_FILE_KEYS
from ocsentry.configuration.ocserv.target import Note, Outcome, Target, entries_by_key
from sentry_engine.records import dataclass
from vpn_frontend.ocserv.values import read_switch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ocsentry.configuration.ocserv.target import Surroundings
    from vpn_frontend.ocserv.grammar import Entry, ParsedFile

GRAMMAR = "(line)"  # stands for the key where a line has none
MAX_SESSIONS = 65_536
# What ocserv does where a key is left out, as far as this server would do something else.
DEFAULTS: dict[str, object] = {
    "vpn.limits.max_clients": MAX_SESSIONS,
    "vpn.limits.max_same_clients": 0,
    "vpn.network.ipv4_pool": "",
    "vpn.network.ipv6_pool": "",
    "vpn.network.dns": [],
    "accounting.interim": 0,
    "policy.never_block": ["127.0.0.0/8", "::1/128"],  # ocserv bans no host of its own networks
    "admin.listen": "",  # a second port that ocserv does not have
}
REQUIRED = ("auth", "device", "server-cert", "server-key")  # without a default in ocserv


@dataclass(frozen=True, slots=True)
class Translation:
    """``document`` is what the TOML file would hold; ``notes`` are in the order of the lines."""

    document: Mapping[str, Any]
    files: Mapping[str, bytes]
    notes: tuple[Note, ...]
    origins: Mapping[str, Entry]
    entries: tuple[Entry, ...]
    reads: tuple[Path, ...]  # files that were looked into, without private keys
    occtl_socket: Path | None
    pid_file: str | None

    @property
    def refusals(self) -> tuple[Note, ...]:
        return tuple(note for note in self.notes if note.outcome is Outcome.REFUSED)


def translate(parsed: ParsedFile, around: Surroundings, debug: int | None = None) -> Translation:
    """Translate a file without syntax errors. What cannot be honoured is in ``refusals``.

    ``debug``: a log level that goes before the file's.
    """
    entries = [replace(entry, key=ALIASES.get(entry.key, entry.key)) for entry in parsed.entries if _counts(entry)]
    target = _translate_entries([entry for entry in entries if not entry.host], around)
    target.notes += [Note(Outcome.DIFFERS, one.line, GRAMMAR, one.text) for one in parsed.warnings]
    target.set("store.url", f"sqlite:///{around.state / 'ocsentry.db'}")
    assemble_bans(target)
    if debug is not None:
        target.set("log.level", log_level(debug))
    _note_missing(target)
    add_hosts(target, entries, lambda of_host: _translate_entries(of_host, around))
    pid_file = target.last("pid-file")
    notes = sorted(dict.fromkeys(target.notes), key=lambda note: note.line)
    return Translation(
        target.document,
        target.files,
        tuple(notes),
        target.origins,
        tuple(entries),
        tuple(dict.fromkeys(around.opened)),
        assemblies.occtl_socket(target),
        None if pid_file is None else target.file(pid_file, pid_file.value),
    )


def _counts(entry: Entry) -> bool:
    """False for ``use-dbus = no``: ocserv reads the old name of use-occtl where it is on only."""
    return entry.key != "use-dbus" or read_switch(entry.value)[0]


def _translate_entries(entries: Sequence[Entry], around: Surroundings) -> Target:
    """The keys of the server, or of one virtual host with what it inherits."""
    target = Target(around, entries_by_key(entries))
    for key, value in DEFAULTS.items():
        target.set(key, value)
    assemble_methods(target)  # first: what groups and certificates mean depends on it
    for row in ROWS:
        entries = target.given.get(row.key, ())
        if not entries:
            continue
        if not row.several:
            _note_repeated(target, entries)
        if row.read is not None:
            row.read(target, entries)
        elif row.outcome is Outcome.REFUSED:
            target.refuse(entries[-1], row.note)
        else:
            target.ignore(entries[-1], row.note)
    for assemble in (
        assemblies.assemble_listening,
        assemblies.assemble_certificate,
        assemblies.assemble_pools,
        assemblies.assemble_mobile_dpd,
        assemblies.assemble_at_connect,
        assemblies.assemble_camouflage,
        assemblies.assemble_radius_timeout,
    ):
        assemble(target)
    _note_unknown(target)
    return target


def _note_repeated(target: Target, entries: tuple[Entry, ...]) -> None:
    for entry in entries[:-1]:
        if entry.value != entries[-1].value:
            target.differs(entry, f"line {entries[-1].line} sets it again; the last one counts")


def _note_unknown(target: Target) -> None:
    for key, entries in target.given.items():
        if key in USER_FILE_KEYS:
            target.ignore(entries[-1], "ocserv reads it in files of config-per-user and config-per-group only")
        elif key not in BY_KEY:
            target.ignore(entries[-1], "ocserv knows no such key, and skips it")


def _note_missing(target: Target) -> None:
    for key in REQUIRED:
        if key not in target.given and not (key == "auth" and "enable-auth" in target.given):
            target.notes.append(Note(Outcome.REFUSED, 1, key, "ocserv needs it, and the file does not set it"))
    if "ipv4-network" not in target.given and "ipv6-network" not in target.given:
        target.notes.append(Note(Outcome.REFUSED, 1, "ipv4-network", "no network for the clients is set"))
