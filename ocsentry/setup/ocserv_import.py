# SPDX-License-Identifier: GPL-3.0-or-later
"""``import ocserv``: a configuration, groups, rules and users of this project that mean what ocserv's files mean."""

from __future__ import annotations

import os
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from admin_api.session_settings.fields import as_toml
from ocsentry.configuration.model import load_config
from ocsentry.configuration.ocserv.loading import load_ocserv, write_state
from ocsentry.configuration.ocserv.table import BY_KEY
from ocsentry.configuration.ocserv.target import Note, Outcome
from ocsentry.configuration.ocserv.toml_text import render_toml
from ocsentry.errors import OperatorError
from ocsentry.user_files.password_file import parse_for_import
from ocsentry.user_files.settings_file import MAX_BYTES, SettingsSyntaxError, parse_entries, read_settings
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ocsentry.api_client.client import ApiClient
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.configuration.ocserv.loading import OcservConfig
    from ocsentry.user_files.settings_file import ReadSettings
    from vpn_frontend.ocserv.grammar import Entry

FILE = "ocsentry.toml"
MAX_PASSWORDS = 64 << 20  # bytes of a password file
BATCH = 1_000  # users in one request
OF_A_USER = {"static_ipv4": "ipv4", "static_ipv6": "ipv6"}


class ImportFileError(OperatorError):
    """A file that cannot be imported, or would be overwritten."""


@dataclass(slots=True)
class Import:
    """What ``plan_import`` found. ``users`` are bodies of requests; ``problems`` name what is left out."""

    loaded: OcservConfig
    document: dict[str, Any]
    users: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def toml(self) -> str:
        head = f"# Made from {self.loaded.path}, which is read no more.\n"
        return head + render_toml(self.document)

    def report(self) -> list[str]:
        """One line for each line of the file, and one for everything that is left out."""
        told = {note.line for note in self.loaded.translation.notes}
        mapped = [_mapped(entry) for entry in self.loaded.translation.entries if entry.line not in told]
        notes = sorted([*self.loaded.translation.notes, *mapped], key=lambda note: note.line)
        return [f"{note.outcome.value}: {note.render(self.loaded.path)}" for note in notes] + self.problems


def plan_import(file: Path, folder: Path) -> Import:
    """Read everything and write nothing. Raises ``OperatorError`` with each line that cannot be honoured."""
    loaded = load_ocserv(file, folder)
    plan = Import(loaded, dict(loaded.translation.document))
    auth, vpn = dict(plan.document["auth"]), dict(plan.document["vpn"])
    plan.document |= {"auth": auth, "vpn": vpn}
    group_files: dict[str, tuple[Entry, ...]] = {}
    users = None
    if not (vpn.get("default_user_config") or vpn.get("default_group_config")):
        group_files = _read_folder(plan, vpn.pop("group_config_dir", None))
        users = vpn.pop("user_config_dir", None)
        _add_groups(plan, group_files)
    else:
        plan.problems.append("default-user-config and default-group-config stay files that are read at each login")
    passwords = auth.pop("ocpasswd_file", None)
    if passwords is not None:
        _add_users(plan, Path(passwords), _read_folder(plan, users), group_files)
    return plan


def write_import(plan: Import, folder: Path, api_of: Callable[[LoadedConfig], ApiClient]) -> LoadedConfig:
    """Write the files and fill the store. ``api_of`` makes the API of a configuration. Overwrites no configuration."""
    path = folder / FILE
    write_state(plan.loaded)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
    except FileExistsError:
        raise ImportFileError(f"{path} exists already; name another folder with --dir") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(plan.toml)
    config = load_config(path)
    api = api_of(config)
    for batch in (plan.users[start : start + BATCH] for start in range(0, len(plan.users), BATCH)):
        api.post("users/import", {"users": batch})
    return config


def _mapped(entry: Entry) -> Note:
    row = BY_KEY.get(entry.key)
    target = row.target if row is not None else ""
    return Note(Outcome.MAPPED, entry.line, entry.key, f"becomes {target}" if target else "has no effect")


def _read_folder(plan: Import, folder: str | None) -> dict[str, tuple[Entry, ...]]:
    """The entries of each file. A link, and a file that cannot be used, is left out and told."""
    if folder is None:
        return {}
    found = {}
    try:
        places = sorted(Path(folder).iterdir())
    except OSError as error:
        raise ImportFileError(f"{folder}: cannot be read: {error.strerror}") from error
    for place in places:
        if place.is_symlink() or not place.is_file():
            plan.problems.append(f"{place}: is not a file of its own")
            continue
        try:
            with place.open("rb") as stream:
                found[place.name] = parse_entries(stream.read(MAX_BYTES + 1))
        except (OSError, SettingsSyntaxError) as error:
            plan.problems.append(f"{place}: {error}")
    return found


def _settings(plan: Import, what: str, own: tuple[Entry, ...], below: tuple[Entry, ...] = ()) -> dict[str, Any]:
    """The overrides of a file as plain values."""
    try:
        read: ReadSettings = read_settings(own, below)
    except SettingsSyntaxError as error:
        plan.problems.append(f"{what}: {error}")
        return {}
    plan.problems += [f"{what}: {remark}" for remark in read.remarks]
    if read.profile:
        plan.problems.append(f"{what}: user-profile {read.profile}: set the profile by hand")
    return {key: _plain(value) for key, value in read.overrides.items()}


def _plain(value: object) -> object:
    return {key: as_toml(one) for key, one in value.items()} if isinstance(value, dict) else as_toml(value)


def _add_groups(plan: Import, files: Mapping[str, tuple[Entry, ...]]) -> None:
    groups = {name: dict(group) for name, group in plan.document.get("groups", {}).items()}
    for name, entries in files.items():
        settings = _settings(plan, f"group {name}", entries)
        for key in OF_A_USER:
            if settings.pop(key, None) is not None:
                plan.problems.append(f"group {name}: an address belongs to a user: left out")
        groups[name] = {**groups.get(name, {}), **settings}
    if groups:
        plan.document["groups"] = groups


def _add_users(
    plan: Import,
    passwords: Path,
    user_files: Mapping[str, tuple[Entry, ...]],
    group_files: Mapping[str, tuple[Entry, ...]],
) -> None:
    try:
        with passwords.open("rb") as stream:
            read = parse_for_import(stream.read(MAX_PASSWORDS))
    except OSError as error:
        raise ImportFileError(f"{passwords}: cannot be read: {error.strerror}") from error
    plan.problems += [f"{passwords}: {problem}" for problem in read.problems]
    for user in read.users.values():
        body: dict[str, Any] = {
            "name": user.name,
            "password_hash": user.password_hash,
            "groups": list(user.groups),
            "enabled": user.enabled,
        }
        if user.name in user_files:
            below = group_files.get(user.groups[0], ()) if user.groups else ()
            settings = _settings(plan, f"user {user.name}", user_files[user.name], below)
            body |= {word: settings.pop(key) for key, word in OF_A_USER.items() if key in settings}
            limits = settings.pop("limits", {})
            body |= {key: value for key, value in limits.items() if key == "max_same_clients"}
            body["settings"] = settings
        plan.users.append(body)
    plan.problems += [f"user {name}: has a file, and no password" for name in user_files if name not in read.users]
