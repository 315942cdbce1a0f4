# SPDX-License-Identifier: GPL-3.0-or-later
"""The user that the server becomes, and its groups."""

from __future__ import annotations

import os
import pwd
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ocsentry.privileges.errors import PrivilegeError
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Identity:
    """Numbers of a user; ``groups`` are the supplementary groups."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    @classmethod
    def find(cls, name: str) -> Identity | None:
        """The user to become; ``None``: stay. Raises ``PrivilegeError``."""
        if not name:
            return None
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise PrivilegeError(f"process.user: there is no user {name!r} (useradd --system {name})") from None
        if entry.pw_uid == 0:
            raise PrivilegeError(f"process.user: {name!r} is root; name an unprivileged user")
        if os.geteuid() == entry.pw_uid:
            return None
        if os.geteuid() != 0:
            raise PrivilegeError(f"process.user: only root can become {name!r}; start the server as root or as {name}")
        return cls(entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(name, entry.pw_gid)))

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Look at files with the rights of the user; the process is root again afterwards."""
        groups, gid = os.getgroups(), os.getegid()
        os.setgroups(self.groups)
        os.setegid(self.gid)
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(gid)
            os.setgroups(groups)

    def assume(self) -> None:
        """Become the user, for good: real, effective and saved ids, in every thread. Raises ``PrivilegeError``."""
        try:
            os.setgroups(self.groups)
            os.setresgid(self.gid, self.gid, self.gid)
            os.setresuid(self.uid, self.uid, self.uid)
        except OSError as error:
            raise PrivilegeError(f"process.user: cannot become user {self.uid}: {error.strerror}") from error
        if os.getresuid() != (self.uid,) * 3 or os.getresgid() != (self.gid,) * 3:
            raise PrivilegeError(f"process.user: the change to user {self.uid} did not take place")
