# SPDX-License-Identifier: GPL-3.0-or-later
"""An earlier version of this project, built from its commit and installed beside this one.

It shares the packages that it depends on with this environment, and has its own programs, native cores and helpers.
"""

from __future__ import annotations

import sys
import sysconfig
import zipfile
from pathlib import Path

from lab.namespaces import run

TREE = Path(__file__).parents[1]
VERSIONS = "admin_api/store/migrations/versions"  # of the schema: one file each
BUILD_SECONDS = 1800.0  # with a TLS library of its own


def last_version() -> str:
    """Returns the newest release, or if there is none, the newest commit with an earlier schema than this tree."""
    tag = _git("describe", "--tags", "--abbrev=0", check=False)
    if tag:
        return tag
    newest = _own_versions()[-1]
    added = _git("log", "--diff-filter=A", "--format=%H", "--", f"{VERSIONS}/{newest}").split()
    return f"{added[0]}^" if added else "HEAD"  # not committed yet


def schema_of(commit: str) -> str:
    """Returns the number of the newest schema that a commit knows, as the database has it."""
    names = _git("ls-tree", "--name-only", commit, f"{VERSIONS}/").split()
    return _number(max(Path(name).name for name in names))


def own_schema() -> str:
    """Returns the number of the newest schema that this tree knows."""
    return _number(_own_versions()[-1])


def install(commit: str, folder: Path) -> tuple[str, ...]:
    """Returns the command that starts the ``ocsentry`` of ``commit``; all of it is below ``folder``, which is made."""
    source, environment = folder / "source", folder / "environment"
    source.mkdir(parents=True)
    _git("archive", "--output", str(folder / "source.tar"), commit)
    run("tar", "-xf", str(folder / "source.tar"), "-C", str(source))
    prefix = run("sh", str(source / "vpn_frontend/native/wolfssl.sh"), timeout=BUILD_SECONDS).strip()
    wheel = ("-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder))
    run("env", f"OCSENTRY_WOLFSSL={prefix}", sys.executable, *wheel, str(source), timeout=BUILD_SECONDS)
    run(sys.executable, "-m", "venv", "--without-pip", str(environment))
    program = environment / "bin" / "python"
    own = Path(run(str(program), "-c", "import sysconfig; print(sysconfig.get_path('platlib'))").strip())
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(own)
    shared = sysconfig.get_path("platlib")  # behind its own: what both have is its own there
    (own / "shared.pth").write_text(f"import site; site.addsitedir({shared!r})\n")
    return (str(program), "-P", "-m", "ocsentry")


def _own_versions() -> list[str]:
    return sorted(path.name for path in (TREE / VERSIONS).glob("*.py"))


def _number(file_name: str) -> str:
    return file_name.partition("_")[0]


def _git(*arguments: str, check: bool = True) -> str:
    return run("git", "-C", str(TREE), *arguments, check=check).strip()
