# SPDX-License-Identifier: GPL-3.0-or-later
"""setuptools' ``build_ext``, told to build the native cores from their cffi descriptions.

``pyproject.toml`` names for each extension a ``build.py`` that defines ``ffi`` (cffi's out-of-line API mode).
Environment: ``OCSENTRY_SANITIZE`` (for example ``address,undefined``), ``OCSENTRY_WERROR=1``, which turns warnings into
errors, and ``OCSENTRY_CORES`` (for example ``sentry_engine``), the packages whose core is wanted: the engine alone
needs no wolfSSL. ``OCSENTRY_ABI3=1`` builds for the stable ABI, so that one file serves each later Python.
``OCSENTRY_WOLFSENTRY`` names the prefix of libwolfsentry; without it nothing that needs it is built.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from setuptools.command.build_ext import build_ext

OPTIONAL = {"sentry_engine._wolfsentry": "OCSENTRY_WOLFSENTRY"}  # extension, and the variable that asks for it

STABLE_ABI = "0x030B0000"  # of Python 3.11

# What cffi generates is not written to these standards: a pragma in each preamble lets it off, and only it.
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wvla"]


class BuildCores(build_ext):
    """Replaces every extension whose only source is a ``build.py`` by the one cffi describes there."""

    def finalize_options(self) -> None:
        super().finalize_options()
        wanted = os.environ.get("OCSENTRY_CORES", "").split()
        chosen = [e for e in self.extensions if not wanted or e.name.partition(".")[0] in wanted]
        built = [e for e in chosen if e.name not in OPTIONAL or os.environ.get(OPTIONAL[e.name])]
        self.extensions = [self._describe(extension) for extension in built]
        for extension in self.extensions:
            extension._needs_stub = False  # noqa: SLF001  # setuptools sets it on the ones it replaced

    def _describe(self, extension):  # noqa: ANN001, ANN202  # setuptools.Extension; untyped in setuptools
        (source,) = extension.sources
        ffi = runpy.run_path(str(Path(source).resolve()))["ffi"]
        described = ffi.distutils_extension(tmpdir=str(Path(self.build_temp) / "cffi"), verbose=False)
        described.extra_compile_args += ["-std=gnu11", "-O3", "-g", "-fvisibility=hidden", *WARNINGS]
        described.extra_compile_args.append(f"-ffile-prefix-map={Path.cwd()}=.")  # same bytes from every folder
        if os.environ.get("OCSENTRY_ABI3") == "1":
            described.define_macros += [("Py_LIMITED_API", STABLE_ABI)]
            described.py_limited_api = True
        if os.environ.get("OCSENTRY_WERROR") == "1":
            described.extra_compile_args += ["-Werror"]
        if sanitizers := os.environ.get("OCSENTRY_SANITIZE"):
            flags = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
            described.extra_compile_args += [*flags, "-O1"]
            described.extra_link_args += flags
        described._full_name = self.get_ext_fullname(described.name)  # noqa: SLF001
        # setuptools looks here for whether an extension keeps to the stable ABI, under both names.
        self.ext_map[described._full_name] = self.ext_map[described.name.rpartition(".")[2]] = described  # noqa: SLF001
        described._file_name = self.get_ext_filename(described._full_name)  # noqa: SLF001
        return described
