# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``ocsentry doctor`` says of privileges: the user, and what this kernel cannot restrict."""

from __future__ import annotations

import os
import pwd
import shlex
from typing import TYPE_CHECKING, NamedTuple

from ocsentry.privileges import filters, landlock, linux
from ocsentry.privileges.drop import NO_FILTERS
from ocsentry.privileges.errors import PrivilegeError
from ocsentry.privileges.filters import Role
from ocsentry.privileges.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocsentry.configuration.model import LoadedConfig

KERNEL = "use a newer kernel, or accept it"


class Remark(NamedTuple):
    """``fix`` says what to do about ``detail``."""

    failed: bool  # the server does not start; False: it does, with less protection
    detail: str
    fix: str
    command: str = ""


def find_remarks(config: LoadedConfig, *, has_unit_user: bool = False) -> Iterator[Remark]:
    """Yields what weakens or prevents the restrictions. Without any remark every restriction will be in force.

    ``has_unit_user``: the service manager starts the server as a user of its own.
    """
    process = config.values.process
    try:
        identity = Identity.find(process.user)
    except PrivilegeError as error:
        yield Remark(True, str(error), "change the key, or make the user", _user_command(process.user))
        return
    if identity is None and os.geteuid() == 0 and not has_unit_user:
        yield Remark(False, "the server stays root", 'useradd --system ocsentry, then process.user = "ocsentry"')
    yield from _seccomp(process.seccomp)
    yield from _keys(config)
    if not process.landlock:
        yield Remark(False, "process.landlock is off: every file that the user reads is within reach", "set it to true")
    else:
        yield from _landlock()


def _landlock() -> Iterator[Remark]:
    try:
        version = landlock.version()
    except PermissionError:
        fix = f"{landlock.ALLOW}, or set process.landlock = false"
        yield Remark(True, f"{landlock.FORBIDDEN}: the server does not start", fix)
        return
    for restriction in landlock.missing(version):
        yield Remark(False, f"the kernel cannot restrict {restriction}", KERNEL)


def _user_command(name: str) -> str:
    """A command that makes the user; empty if the user exists and is the problem."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return f"useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin {shlex.quote(name)}"
    return ""


def _keys(config: LoadedConfig) -> Iterator[Remark]:
    """With isolation: what undoes it."""
    admin, isolated = config.values.admin, config.values.process.key_isolation == "on"
    if isolated and admin.private_key in {files.private_key for files in config.vpn.every_certificate()}:
        detail = "admin.private_key is a key of the VPN, so process.key_isolation keeps it out of no process"
        yield Remark(False, detail, "give the API a certificate of its own")


def _seccomp(mode: str) -> Iterator[Remark]:
    if mode == "off":
        yield Remark(False, "process.seccomp is off: every system call is allowed", "set it to errno")
        return
    if not linux.has_filters():
        yield Remark(False, f"the kernel cannot restrict {NO_FILTERS}", KERNEL)
        return
    try:
        filters.build(Role.MAIN, mode)
    except PrivilegeError as error:
        yield Remark(True, str(error), "see the message")
