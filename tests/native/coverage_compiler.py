# SPDX-License-Identifier: GPL-3.0-or-later
"""gcc for ``coverage.sh``: counts which lines and branches run, of each source on its own.

A command with several sources is taken apart, because gcc names what it counts by the file's name alone, and the cores
have several files of one name. Everything else is passed on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

# A branch of a function that the sources ask to be inlined is one branch, in however many copies.
COUNTED = ["--coverage", "-fprofile-update=atomic", "-fprofile-abs-path", "-O0", "-Dalways_inline=unused"]
SOURCES = ("sentry_engine/native/", "vpn_frontend/native/")


def without_sanitizers(flags: list[str]) -> list[str]:
    """What a sanitizer inserts are branches too, which no source has and no test may take."""
    return [word for word in flags if not word.startswith(("-fsanitize", "-fno-sanitize"))]


def main(arguments: list[str]) -> int:
    sources = [word for word in arguments if word.endswith(".c")]
    counted = [word for word in sources if any(part in word for part in SOURCES) and "tests/" not in word]
    if "-fsanitize=thread" in arguments:  # it judges what it has compiled itself
        counted = []
    if "-c" in arguments or not counted:
        own = COUNTED if counted or not sources else []
        return subprocess.run(["/usr/bin/gcc", *arguments, *own], check=False).returncode
    folder = Path(tempfile.mkdtemp(dir=os.environ["OCSENTRY_COVERAGE"]))
    linked = [word for word in arguments if word.startswith(("-Wl,", "-l", "-L")) or word in ("-r", "-nostdlib")]
    flags = [word for word in arguments if word not in {*sources, *linked} and not word.endswith(".o")]
    output = flags.index("-o")
    del flags[output : output + 2]
    objects = {}
    for number, source in enumerate(sources):
        objects[source] = str(folder / f"{number}-{Path(source).stem}.o")
        own = [*without_sanitizers(flags), *COUNTED] if source in counted else flags
        code = subprocess.run(["/usr/bin/gcc", *own, "-c", source, "-o", objects[source]], check=False).returncode
        if code:
            return code
    # The linker gets the objects where the sources stood.
    command = [objects.get(word, word) for word in arguments if word not in COUNTED]
    return subprocess.run(["/usr/bin/gcc", *command, "--coverage"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
