# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may read and write the files: the private keys, the database, and all that the server's user needs."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from typing import TYPE_CHECKING

from ocsentry.privileges.access import AccessProblem, access_problems
from ocsentry.privileges.checks import find_remarks
from ocsentry.privileges.errors import PrivilegeError
from ocsentry.setup.checks.result import CheckResult
from ocsentry.setup.checks.running import server_process
from ocsentry.setup.service_user import ServiceUser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ocsentry.configuration.model import LoadedConfig

GROUP, OTHERS = stat.S_IRGRP | stat.S_IWGRP, stat.S_IROTH | stat.S_IWOTH


def check_private_keys(config: LoadedConfig) -> Iterator[CheckResult]:
    """A key may be read by root, its owner, and a group that only the server's user is in."""
    try:
        user = ServiceUser.find(config)
    except PrivilegeError:
        user = ServiceUser()
    for key in dict.fromkeys(files.private_key for files in config.vpn.every_certificate()):
        if not key.exists():
            continue  # the check of the certificate reports it
        facts = key.stat()
        shared = facts.st_mode & GROUP and not _is_own_group(facts.st_gid, user.name)
        if facts.st_mode & OTHERS or shared:
            who = "every user" if facts.st_mode & OTHERS else f"all users of the group {_group_name(facts.st_gid)}"
            detail = f"{key} is readable by {who}"
            yield CheckResult("private key", "fail", detail, "take it from them", _close(key, facts, user))


def _close(key: Path, facts: os.stat_result, user: ServiceUser) -> str:
    """A command that closes the key for others. The server reads it as before."""
    name = shlex.quote(str(key))
    if user.has_helper or user.identity is None or facts.st_uid == user.identity.uid:
        keep = facts.st_mode & GROUP and facts.st_gid and _is_own_group(facts.st_gid, user.name)
        return f"chmod {'640' if keep else '600'} {name}"
    if _is_own_group(user.identity.gid, user.name):
        return f"chgrp {_group_name(user.identity.gid)} {name} && chmod 640 {name}"
    return f"chown {user.name} {name} && chmod 600 {name}"


def _is_own_group(number: int, user: str) -> bool:
    """True if only ``user`` and root are in the group. A group without members shares nothing."""
    if number == 0:
        return True
    try:
        listed = set(grp.getgrgid(number).gr_mem)
    except KeyError:
        listed = set()
    members = listed | {entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == number}
    return members <= {user, "root"}


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def check_privileges(config: LoadedConfig) -> Iterator[CheckResult]:
    try:
        in_unit = not ServiceUser.find(config).starts_as_root
    except PrivilegeError:
        in_unit = False
    remarks = list(find_remarks(config, has_unit_user=in_unit))
    for remark in remarks:
        yield CheckResult("privileges", "fail" if remark.failed else "warn", remark.detail, remark.fix, remark.command)
    if not remarks:
        yield CheckResult("privileges", "ok", "dropped before the first client: capabilities, seccomp, Landlock")


def check_access(config: LoadedConfig) -> Iterator[CheckResult]:
    """What the server's user has to read and write, looked at with its rights."""
    try:
        user = ServiceUser.find(config)
    except PrivilegeError:
        return  # check_privileges reports it
    if user.identity is None:
        return
    with user.borrowed():
        problems = access_problems(config, user.reads(config))
    for problem in problems:
        command = _give(problem, user.name, _group_name(user.identity.gid))
        yield CheckResult("files", "fail", str(problem), "give it to the user", command)
    if not problems:
        yield CheckResult("files", "ok", f"{user.name} reaches all that it needs")


def _give(problem: AccessProblem, user: str, group: str) -> str:
    """A command that gives the user what it lacks: a file to write to is its own, others it reads by its group."""
    path = problem.path
    closed = [folder for folder in reversed(path.parents) if not _lets_in(folder, group)]
    opened = [f"chgrp {group} {shlex.quote(str(folder))} && chmod g+x {shlex.quote(str(folder))}" for folder in closed]
    name = shlex.quote(str(path))
    if problem.writes:
        return " && ".join([*opened, f"chown -R {user}:{group} {name}"])
    return " && ".join([*opened, f"chgrp -R {group} {name} && chmod -R g+rX {name}"])


def _lets_in(folder: Path, group: str) -> bool:
    facts = folder.stat()
    return bool(facts.st_mode & stat.S_IXOTH or (_group_name(facts.st_gid) == group and facts.st_mode & stat.S_IXGRP))


def check_database(config: LoadedConfig) -> Iterator[CheckResult]:
    database = config.database_file
    if database is None:
        yield CheckResult("database", "ok", "not a file; the server connects to it at the start")
        return
    if database.exists() and database.stat().st_mode & OTHERS:
        fix = "it holds password hashes"
        yield CheckResult("database", "warn", f"{database} is readable by every user", fix, f"chmod o= {database}")
    if not database.exists() and server_process(config) is not None:
        detail = f"{database} was removed under the running server: what it writes is lost at its end"
        yield CheckResult("database", "fail", detail, "restore a backup: see docs/operations.md")
        return
    place = database if database.exists() else database.parent
    if os.access(place, os.W_OK) and os.access(database.parent, os.W_OK):
        yield CheckResult("database", "ok", f"{database} {'is writable' if database.exists() else 'will be created'}")
    else:
        fix = "run the doctor as root, or give file and folder to the server's user"
        yield CheckResult("database", "fail", f"{place} is not writable", fix)
