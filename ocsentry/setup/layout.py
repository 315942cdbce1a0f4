# SPDX-License-Identifier: GPL-3.0-or-later
"""Where ``init`` puts the files of a server, and who owns them: one folder, or the folders of a system's service."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

USER = "ocsentry"
DATABASE = "ocsentry.db"
TOTP_KEY = "totp.key"
INSTALLED = Path("/opt/ocsentry")  # where packages put the program
FOLDER_MODE, STATE_MODE, FILE_MODE, SECRET_MODE = 0o750, 0o700, 0o640, 0o600


@dataclass(frozen=True, slots=True)
class Layout:
    """``user`` is empty where all belongs to the user who runs ``init``."""

    folder: Path
    state: Path
    runtime: Path
    user: str = ""

    @classmethod
    def single(cls, folder: Path) -> Layout:
        return cls(folder, folder, folder)

    @classmethod
    def system(cls, root: Path = Path("/"), user: str = USER) -> Layout:
        """The folders that the units name. Raises ``OperatorError`` without the service's user."""
        try:
            pwd.getpwnam(user)
        except KeyError:
            command = f"useradd --system --home-dir /var/lib/ocsentry --shell /usr/sbin/nologin {user}"
            raise OperatorError(f"there is no user {user!r}: {command}") from None
        if os.geteuid() != 0:
            raise OperatorError("the service is set up by root; name another folder with --dir")
        return cls(root / "etc/ocsentry", root / "var/lib/ocsentry", root / "run/ocsentry", user)

    @classmethod
    def default(cls) -> Layout:
        """The service's folders for a program from a package, otherwise the present folder."""
        return cls.system() if Path(sys.prefix) == INSTALLED else cls.single(Path().absolute())

    def make_folders(self) -> None:
        self.folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        self.state.mkdir(STATE_MODE, parents=True, exist_ok=True)

    def settings(self) -> dict[str, str]:
        """Returns what the starter's placeholders become; paths in the configuration's own folder stay relative."""
        return {
            "SOCKET": self._name(self.runtime, "admin.sock"),
            "STORE": self._name(self.state, DATABASE),
            "FEEDS": self._name(self.state, "feeds"),
            "TOTP_KEY": self._name(self.state, TOTP_KEY),
        }

    def _name(self, folder: Path, name: str) -> str:
        return name if folder == self.folder else str(folder / name)

    def give(self, files: Iterable[Path]) -> None:
        """Give folders and ``files`` to their owners: the configuration to root and the group, the state to the user.

        Private keys stay root's alone: the helper reads them. Files that are not named keep owner and mode.
        """
        if not self.user:
            return
        entry = pwd.getpwnam(self.user)
        for path in (self.folder, *(file for file in files if file.is_relative_to(self.folder))):
            key = path.suffix == ".key"
            os.chown(path, 0, 0 if key else entry.pw_gid)
            path.chmod(FOLDER_MODE if path.is_dir() else SECRET_MODE if key else FILE_MODE)
        for path in (self.state, *self.state.glob(f"{DATABASE}*"), *self.state.glob(TOTP_KEY)):
            os.chown(path, entry.pw_uid, entry.pw_gid)
            path.chmod(STATE_MODE if path.is_dir() else SECRET_MODE)
