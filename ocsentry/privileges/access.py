# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that the server needs after its start and its user cannot reach."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.configuration.policy_files import watched_paths
from ocsentry.configuration.sections.host import FOLDERS
from ocsentry.privileges.server_reach import writable_folders
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocsentry.configuration.model import LoadedConfig


@dataclass(frozen=True, slots=True)
class AccessProblem:
    """What the user cannot reach; as text one line for the operator."""

    key: str
    user: str
    path: Path
    writes: bool

    def __str__(self) -> str:
        return f"{self.key}: user {self.user} cannot {'write to' if self.writes else 'read'} {self.path}"


def access_problems(config: LoadedConfig, more: Mapping[str, Path] | None = None) -> list[AccessProblem]:
    """One problem per key, as the effective user of this process sees it. Missing folders are made at the start.

    ``more`` are files that the user has to read too, by the key that names them.
    """
    user = _user_name()
    wanted = [("process.user", Path(place), os.R_OK | os.X_OK) for place in (sys.base_prefix, sys.prefix)]
    wanted += [(key, path, os.R_OK) for key, path in (more or {}).items()]
    wanted += [("policy.rules", path, os.R_OK) for path in watched_paths(config.values.policy) if _may_exist(path)]
    vpn = config.values.vpn
    for where, section in (("vpn", vpn), *((f"vpn.host.{host.name}", host) for host in vpn.host)):
        for key in FOLDERS:
            place = getattr(section, key)
            if place is not None and _may_exist(place):
                wanted.append((f"{where}.{key}", place, os.R_OK | (os.X_OK if place.is_dir() else 0)))
    database = config.database_file
    if database is not None and _may_exist(database):
        wanted.append(("store.url", database, os.R_OK | os.W_OK))
    folders = writable_folders(config).items()
    wanted += [(key, folder, os.W_OK | os.X_OK) for key, folder in folders if _may_exist(folder)]
    return [
        AccessProblem(key, user, path, bool(mode & os.W_OK))
        for key, path, mode in wanted
        if not os.access(path, mode, effective_ids=True)
    ]


def _may_exist(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
