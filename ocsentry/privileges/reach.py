# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a process needs after its start: what Landlock grants.

A rule holds for a file or folder that exists at the start. Files that are replaced by renaming (rules, databases,
certificates) are reached through their folder.
"""

from __future__ import annotations

import os
import ssl
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SYSTEM = ("/usr", "/lib", "/lib64", "/sys/devices/system/cpu", "/proc/self", "/proc/stat", "/proc/meminfo")
ETC = (  # name service, certificate authorities, time zone; not the whole folder, which has the shadow file
    *("resolv.conf", "hosts", "nsswitch.conf", "host.conf", "gai.conf", "services", "protocols", "passwd", "group"),
    *("localtime", "timezone", "ssl/certs", "ssl/openssl.cnf", "ca-certificates", "pki/tls", "mime.types"),
    *("ld.so.cache", "ld.so.preload"),
)
PACKAGES = ("sentry_engine", "vpn_frontend", "admin_api", "ocsentry")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
SHARED_BY_MANY = frozenset(
    map(Path, ("/", "/etc", "/home", "/root", "/run", "/srv", "/tmp", "/var", "/var/lib", "/opt"))  # noqa: S108
)


@dataclass(frozen=True, slots=True)
class Reach:
    """``read`` and ``manage`` are files and folders with all that is below them; ``devices`` are read and written."""

    read: tuple[Path, ...]
    manage: tuple[Path, ...]
    devices: tuple[Path, ...] = ()


def reach_of_helper(files: Iterable[Path], devices: Iterable[Path]) -> Reach:
    """What the helper reads: the folders of ``files``, because a renewed certificate is another file of that name."""
    folders = {folder for path in files for folder in (path.parent, path.resolve().parent)}
    return Reach((*system_paths(), *sorted(folders)), (), (*devices, *map(Path, DEVICES)))


def system_paths() -> tuple[Path, ...]:
    """The interpreter, its packages, shared libraries, and what the C library looks up."""
    python = {Path(path) for path in (sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path) if path}
    authorities = ssl.get_default_verify_paths()
    named = [authorities.cafile, authorities.capath, authorities.openssl_cafile, authorities.openssl_capath]
    packages = [Path(place) for name in PACKAGES for place in _locations(name)]
    found = [
        *python,
        *packages,
        *map(Path, SYSTEM),
        *(Path("/etc", name) for name in ETC),
        *(Path(path) for path in named if path),
    ]
    return tuple(with_targets(path for path in found if path not in SHARED_BY_MANY))


def _locations(package: str) -> Iterable[str]:
    spec = find_spec(package)
    return () if spec is None else spec.submodule_search_locations or ()


def with_targets(paths: Iterable[Path]) -> Iterator[Path]:
    """Each path, and where it is a symbolic link, the folder of the file that it leads to."""
    for path in paths:
        yield path
        if path.is_symlink():
            target = Path(os.path.realpath(path))
            yield target if target.parent in SHARED_BY_MANY or target.is_dir() else target.parent
