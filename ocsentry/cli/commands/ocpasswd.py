# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocpasswd``: changes a password file of ocserv, with the options of ocserv's own tool."""

from __future__ import annotations

import argparse
import sys
from getpass import getpass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.user_files.password_edit import PasswordEditError, delete_user, lock_user, set_password, unlock_user

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_FILE = "/etc/ocserv/ocpasswd"
MAX_PASSWORD = 1024  # bytes; the login form accepts no longer ones


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "ocpasswd",
        description="Change a password file as ocserv's ocpasswd does. The password is typed twice at a terminal, or "
        "is the first line of standard input. Running servers read the file at each login.",
        allow_abbrev=False,
    )
    parser.add_argument("-c", "--passwd", metavar="FILE", default=DEFAULT_FILE, help="password file (%(default)s)")
    parser.add_argument("-g", "--groupname", metavar="GROUPS", default="*", help="the user's groups, by commas")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("-d", "--delete", action="store_true", help="delete the user")
    action.add_argument("-l", "--lock", action="store_true", help="lock the user")
    action.add_argument("-u", "--unlock", action="store_true", help="unlock the user")
    parser.add_argument("-v", "--version", action="version", version=f"ocpasswd - {version('ocsentry')}")
    parser.add_argument("username", metavar="USER")
    return parser


def run_ocpasswd(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0, or 1 for what ocserv's tool fails at, too."""
    try:
        options = make_parser().parse_args(arguments)
    except SystemExit as ended:
        return 1 if ended.code else 0
    path = Path(options.passwd)
    try:
        if options.lock:
            lock_user(path, options.username)
        elif options.unlock:
            unlock_user(path, options.username)
        elif options.delete:
            delete_user(path, options.username)
        else:
            set_password(path, options.username, _read_password(), options.groupname)
    except (PasswordEditError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _read_password() -> str:
    """Raises ``PasswordEditError``."""
    if sys.stdin.isatty():
        password = getpass("Enter password: ")
        if password != getpass("Re-enter password: "):
            raise PasswordEditError("Passwords do not match")
    else:
        password = sys.stdin.readline(MAX_PASSWORD + 1).rstrip("\n")
    if not password:
        raise PasswordEditError("Please specify a password")
    if len(password.encode()) > MAX_PASSWORD:
        raise PasswordEditError(f"the password is longer than {MAX_PASSWORD} bytes")
    return password
