# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure parts of the gateway in C, each tested by a C program that runs under ASan and UBSan."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NATIVE = ROOT / "vpn_frontend" / "native"
PROGRAMS = {
    "test_dtls_hello": ["dtls_hello.c", "dtls_cookie.c", "keyed_hash.c"],
    "test_dtls_tables": ["dtls_directory.c", "dtls_paths.c"],
    "test_dtls_datagrams": ["dtls_datagrams.c"],
    "test_record_memory": ["record_memory.c"],
    "test_moving": sorted(path.name for path in NATIVE.glob("*.c")),
}
SANITIZERS = {"test_record_memory": "undefined"}  # the others: ASan too, under which that one keeps nothing


@pytest.fixture(scope="module")
def wolfssl() -> Path:
    """The prefix of the library that the gateway is built with."""
    run = subprocess.run([NATIVE / "wolfssl.sh"], check=True, capture_output=True, text=True, timeout=600)
    return Path(run.stdout.strip())


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str, wolfssl: Path, tmp_path: Path) -> None:
    binary = tmp_path / program
    sources = [Path(__file__).with_name(f"{program}.c"), *(NATIVE / name for name in PROGRAMS[program])]
    flags = [
        "-std=gnu11",
        "-D_GNU_SOURCE",
        "-g",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-fsanitize={SANITIZERS.get(program, 'address,undefined')}",
        "-fno-sanitize-recover=all",
    ]
    include = [f"-I{NATIVE}", f"-I{ROOT}", f"-I{wolfssl}/include"]
    libraries = [f"{wolfssl}/lib/libwolfssl.a", "-lm", "-lpthread"]
    subprocess.run(["gcc", *flags, *include, *sources, "-o", binary, *libraries], check=True, timeout=120)
    run = subprocess.run([binary], capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stdout) == (0, "ok\n"), run.stderr
