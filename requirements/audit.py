# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the lock files with the public database of vulnerabilities by pip-audit. `make audit` runs it.

Exit codes: 0, no known vulnerability; 1, at least one; 3, the database could not be read and nothing was compared.
wolfSSL is no Python package: its advisories are followed by hand (SECURITY.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 3
TIMEOUT = "20"  # seconds for each answer of the database
OPTIONS = ("--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", f"--timeout={TIMEOUT}")


def verdict(output: str, errors: str) -> tuple[int, str]:
    """Returns the exit code and a text, from what pip-audit wrote on its two outputs.

    pip-audit ends with 1 on a vulnerability and on every error, and with 0 if the database answers for no package at
    all. Only a document with an answer for each package counts as an audit.
    """
    try:
        dependencies = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = errors.strip().splitlines()[-1:] or ["it wrote nothing"]
        return NOT_AUDITED, f"not audited: pip-audit gave no result: {reason[0]}"
    answered = [each for each in dependencies if "vulns" in each]
    if found := [f"{each['name']} {each['version']}: {one['id']}" for each in answered for one in each["vulns"]]:
        return VULNERABLE, "\n".join(found)
    if len(answered) < len(dependencies):
        reason = next(each["skip_reason"] for each in dependencies if "skip_reason" in each)
        counts = f"{len(answered)} of {len(dependencies)} packages"
        return NOT_AUDITED, f"not audited: the database answered for {counts}; first reason: {reason}"
    if not dependencies:
        return NOT_AUDITED, "not audited: pip-audit found no package"
    return CLEAN, f"audited {len(dependencies)} packages: no known vulnerability"


def audit(lock: Path, program: Path) -> tuple[int, str]:
    done = subprocess.run(
        [program, *OPTIONS, "--requirement", lock], capture_output=True, text=True, check=False, env=os.environ
    )
    return verdict(done.stdout, done.stderr)


def main() -> int:
    """A vulnerability outweighs a lock file that could not be audited: both are printed."""
    program = Path(sys.executable).with_name("pip-audit")
    codes = []
    for lock in sorted(FOLDER.glob("*.lock")):
        code, text = audit(lock, program)
        print(f"{lock.name}: {text}", flush=True)
        codes.append(code)
    if VULNERABLE in codes:
        return VULNERABLE
    return NOT_AUDITED if NOT_AUDITED in codes else CLEAN


if __name__ == "__main__":
    sys.exit(main())
