# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists the licences of what ocsentry is built from and imports, from the metadata of the installed packages.

`make licences` writes docs/licences.md with it. Run by the environment's own interpreter.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

from requirements.lock_files import pins

# Packages whose metadata names no licence: what their own texts say.
FROM_TEXT = {"pytricia": "LGPL-3.0-only"}
LOCKS = {"server": "imported by the server", "build": "builds the native cores"}
HEAD = """\
# Licences of dependencies

ocsentry itself is GPL-3.0-or-later. What it is built from and imports, with the licence that each package states in its
metadata. `make licences` writes this file. A test compares it with `requirements/server.lock` and
`requirements/build.lock`.
Packages that are installed only on Windows or PyPy are not listed.

wolfSSL 5.9.2 is linked statically under GPL-3.0-or-later. The console's pages load htmx 4.0.1 (0BSD) and uPlot 1.6.32
(MIT), whose files and licence texts are in `admin_api/console/static/vendor/`. The map is drawn from Natural Earth
(public domain), as world-atlas 2.0.2 has it.

| package | version | licence | use |
|---|---|---|---|
"""


def licence(package: metadata.PackageMetadata) -> str:
    """Returns the SPDX expression (PEP 639), else the classifiers, else the first line of ``License``."""
    if expression := package.get("License-Expression"):
        return str(expression)
    classifiers = [
        text.split(" :: ")[-1] for text in package.get_all("Classifier") or [] if text.startswith("License ::")
    ]
    named = [text for text in classifiers if text != "OSI Approved"]
    if named:
        return ", ".join(named)
    lines = str(package.get("License") or "").strip().splitlines()
    if not lines and package["Name"] in FROM_TEXT:
        return FROM_TEXT[package["Name"]]
    if not lines:
        raise ValueError(f"{package['Name']} states no licence")
    return lines[0]


def installed_here(marker: str) -> bool:
    """True for the packages of CPython on Linux. The lock files know two other kinds of marker."""
    return not ("win32" in marker or marker.endswith(("== 'PyPy'", "== 'pypy'")))


def rows() -> list[tuple[str, str, str, str]]:
    found: dict[str, tuple[str, str, str, str]] = {}
    for lock, use in LOCKS.items():
        for pin in pins(lock):
            if installed_here(pin.marker) and pin.name not in found:
                package = metadata.metadata(pin.name)
                found[pin.name] = (pin.name, package["Version"], licence(package), use)
    return [found[name] for name in sorted(found)]


def document() -> str:
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document(), "utf-8")
