# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of the host for the support archive: versions, network, the service's state and log, files of the server."""

from __future__ import annotations

import contextlib
import grp
import importlib.metadata
import itertools
import os
import platform
import pwd
import stat
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

COMMAND_TIMEOUT = 10.0  # seconds, of each command
LOG_LINES = 5000
MAX_FILES = 2000  # of the list of files
UNITS = ("--unit=ocsentry.service", "--unit=ocsentry-*.service")
PROPERTIES = (
    "Id,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainStartTimestamp,ActiveEnterTimestamp,MemoryCurrent,"
    "MemoryPeak,TasksCurrent,TasksMax,LimitNOFILE,LimitMEMLOCK,User,FragmentPath,DropInPaths"
)

# Name in the archive, and the command. None shows environments or arguments of processes.
COMMANDS: dict[str, Sequence[str]] = {
    "network/addresses.txt": ("ip", "-statistics", "address"),
    "network/routes.txt": ("ip", "route", "show", "table", "all"),
    "network/rules.txt": ("ip", "rule"),
    "network/sockets.txt": ("ss", "--listening", "--tcp", "--udp", "--numeric", "--processes", "--memory"),
    "network/packet-rules.txt": ("nft", "--terse", "list", "ruleset"),
    "service/state.txt": ("systemctl", "show", f"--property={PROPERTIES}", "ocsentry*.service"),
    "service/log.txt": ("journalctl", *UNITS, f"--lines={LOG_LINES}", "--output=short-iso-precise", "--no-pager"),
}
KERNEL_SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/all/disable_ipv6",
    "net/core/somaxconn",
    "net/netfilter/nf_conntrack_count",
    "net/netfilter/nf_conntrack_max",
    "fs/file-max",
    "kernel/pid_max",
)


def command_output(command: Sequence[str], limit: int, timeout: float = COMMAND_TIMEOUT) -> str:
    """Returns the last ``limit`` bytes of what the command prints. Raises ``OSError`` if it cannot be run."""
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=timeout, check=False
            )
            end = f"(exit {done.returncode})\n" if done.returncode else ""
        except subprocess.TimeoutExpired:
            end = f"(ended after {timeout:.0f} s)\n"
        output.seek(max(0, output.seek(0, os.SEEK_END) - limit))
        return output.read(limit).decode("utf-8", "replace") + end


def describe_host() -> dict[str, Any]:
    """Returns versions, and what the machine has."""
    facts: dict[str, Any] = {
        "ocsentry": importlib.metadata.version("ocsentry"),
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "processors": os.cpu_count(),
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "load": os.getloadavg(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "user": os.geteuid(),
    }
    with contextlib.suppress(OSError):
        facts["system"] = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    facts["packages"] = dict(sorted((one.name, one.version) for one in importlib.metadata.distributions()))
    facts["kernel_settings"] = {name: _kernel_setting(name) for name in KERNEL_SETTINGS}
    return facts


def describe_process(process: int) -> str:
    """Returns memory, limits and number of open files of a process. Raises ``OSError``."""
    folder = Path("/proc", str(process))
    descriptors = len(list((folder / "fd").iterdir()))
    parts = [f"{descriptors} open descriptors"]
    parts += [(folder / name).read_text("utf-8", "replace") for name in ("status", "limits", "smaps_rollup")]
    return "\n".join(parts)


def list_files(paths: Iterable[Path]) -> str:
    """Returns mode, owner, size and time of the files, of all below folders, and of what leads to them, one a line.

    At most ``MAX_FILES`` lines.
    """
    named = sorted({path.absolute() for path in paths})
    above = {folder for path in named for folder in path.parents}
    seen = itertools.chain(sorted(above), (each for path in named for each in _below(path)))
    lines = [_line_of(path) for path in itertools.islice(seen, MAX_FILES)]
    return "".join(f"{line}\n" for line in lines)


def _below(path: Path) -> Iterator[Path]:
    yield path
    for inside, folders, names in os.walk(path):
        folders.sort()
        yield from (Path(inside, name) for name in sorted([*folders, *names]))


def _line_of(path: Path) -> str:
    try:
        facts = path.lstat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    time = datetime.fromtimestamp(facts.st_mtime, UTC).isoformat(timespec="seconds")
    target = f" -> {path.readlink()}" if path.is_symlink() else ""
    owner = f"{_name(pwd.getpwuid, facts.st_uid)}:{_name(grp.getgrgid, facts.st_gid)}"
    return f"{stat.filemode(facts.st_mode)} {owner:<20} {facts.st_size:>12} {time} {path}{target}"


def _name(find: Any, number: int) -> str:  # noqa: ANN401 - getpwuid or getgrgid
    try:
        return str(find(number)[0])
    except KeyError:
        return str(number)


def _kernel_setting(name: str) -> str | None:
    try:
        return Path("/proc/sys", name).read_text("utf-8").strip()
    except OSError:
        return None
