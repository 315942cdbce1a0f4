# SPDX-License-Identifier: GPL-3.0-or-later
"""A server's folder for another user than root, and what the kernel says of processes."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

USER = "nobody"


def own(folder):
    """As an operator sets it up: the folder is the user's, the private key root's alone."""
    user = pwd.getpwnam(USER)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    os.chown(folder / "server.key", 0, 0)
    (folder / "server.key").chmod(0o600)


def status_of(path):
    return dict(line.split(":\t", 1) for line in (path / "status").read_text().splitlines() if ":\t" in line)


def threads(pid):
    return {task.name: status_of(task) for task in Path(f"/proc/{pid}/task").iterdir()}


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
