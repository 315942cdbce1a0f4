# SPDX-License-Identifier: GPL-3.0-or-later
"""The user that the server runs as, for commands of root: from ``process.user``, or from the unit for systemd.

Files are then judged by what this user may do, and new files are made readable for it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.helper.configured import scope_of
from ocsentry.privileges.identity import Identity
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from ocsentry.configuration.model import LoadedConfig

UNIT_FOLDERS = tuple(
    map(
        Path, ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
    )
)
HELPER_VARIABLE = "OCSENTRY_HELPER"
FILE_MODE = 0o640


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """``identity`` ``None``: the user of this process. ``name`` is empty then."""

    name: str = ""
    identity: Identity | None = None
    starts_as_root: bool = True  # what it opens before it drops its privileges, it opens as root
    has_helper: bool = True  # a process with privileges reads keys, certificates and secrets for it

    @classmethod
    def find(cls, config: LoadedConfig) -> ServiceUser:
        """Raises ``PrivilegeError`` for a user that does not exist, or that this process cannot become."""
        name = config.values.process.user
        if name:
            return cls(name, Identity.find(name))
        unit = _find_unit(config.path)
        name = unit.get("User", "")
        if name in ("", "root") or os.geteuid() != 0:
            return cls()
        helper = any(word.startswith(f"{HELPER_VARIABLE}=") for word in shlex.split(unit.get("Environment", "")))
        return cls(name, Identity.find(name), starts_as_root=False, has_helper=helper)

    @classmethod
    def find_or_self(cls, config: LoadedConfig) -> ServiceUser:
        """``find`` for commands that anyone may run: the user of this process where the other is out of reach."""
        try:
            return cls.find(config)
        except PrivilegeError:
            return cls()

    def start_problem(self, config: Path) -> str:
        """Why this process should not serve ``config``; empty if it may.

        Root outside the service manager would make folders that the unit's user cannot write to. It could itself not
        write to those of that user, because it drops its capabilities.
        """
        if self.starts_as_root or "NOTIFY_SOCKET" in os.environ:
            return ""
        return (
            f"{config}: the unit runs this server as user {self.name}: systemctl start ocsentry\n"
            f'without systemd set process.user = "{self.name}", and root starts it'
        )

    def reads(self, config: LoadedConfig) -> dict[str, Path]:
        """Returns the files that the user reads itself, because nothing reads them for it with privileges."""
        own = {} if self.starts_as_root else {"the configuration": config.path}
        return own if self.has_helper else own | scope_of(config).files

    def borrowed(self) -> AbstractContextManager[None]:
        """Look at files with the rights of the user."""
        return nullcontext() if self.identity is None else self.identity.borrowed()

    def give(self, path: Path) -> None:
        """Make a new file readable for the server: owner and group of its folder, or else the group of the user."""
        path.chmod(FILE_MODE)
        if os.geteuid() != 0:
            return
        folder = path.parent.stat()
        os.chown(path, folder.st_uid, folder.st_gid)
        if self.identity is None:
            return
        with self.borrowed():
            readable = os.access(path, os.R_OK, effective_ids=True)
        if not readable:
            os.chown(path, folder.st_uid, self.identity.gid)


def _find_unit(config: Path) -> dict[str, str]:
    """Returns the settings of the unit that serves ``config``; empty if there is none."""
    for folder in UNIT_FOLDERS:
        for unit in sorted(folder.glob("ocsentry*.service")):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                found = dict(_settings(unit.read_text()))
                if {"serve", str(config)} <= set(found.get("ExecStart", "").split()):  # others renew, or help
                    return found
    return {}


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """Yields the settings of a unit. A later one of the same name replaces an earlier one; drop-ins are not read."""
    for line in text.replace("\\\n", " ").splitlines():
        key, separator, value = line.strip().partition("=")
        if separator and not key.startswith(("#", ";")):
            yield key.strip(), value.strip()
