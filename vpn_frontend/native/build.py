# SPDX-License-Identifier: GPL-3.0-or-later
"""cffi's description of the gateway's core: Python sees the declarations of ``gateway.h``.

The static wolfSSL comes from ``OCSENTRY_WOLFSSL`` or is built once by ``wolfssl.sh``.
"""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path

from cffi import FFI

HERE = Path("vpn_frontend/native")  # setuptools wants sources relative to the project, where it is run
SOURCES = sorted(str(path) for path in HERE.rglob("*.c"))
CFFI_HEADERS = runpy.run_path(
    "sentry_engine/native/cffi_headers.py"
)  # shared; run, since packages are not importable here
# Calls in wolfSSL that aes_gcm/aes_gcm.c takes, unless the library is a FIPS module or uses the table of each key.
KEPT = ("#define HAVE_FIPS\n", "#define WC_C_DYNAMIC_FALLBACK\n")
WRAPPED = [f"-Wl,@{HERE}/aes_gcm/aes_gcm.wrap"]


def describe() -> FFI:
    prefix = subprocess.run([HERE / "wolfssl.sh"], check=True, capture_output=True, text=True).stdout.strip()
    options = Path(prefix, "include/wolfssl/options.h").read_text(encoding="utf-8")
    wrapped = WRAPPED if "#define GCM_TABLE_4BIT\n" in options and not any(name in options for name in KEPT) else []
    ffi = FFI()
    ffi.cdef(CFFI_HEADERS["declarations"]([HERE / "gateway.h"]))
    ffi.set_source(
        "vpn_frontend._gateway",
        CFFI_HEADERS["preamble"](["vpn_frontend/native/gateway.h"]),
        sources=SOURCES,
        depends=[*map(str, HERE.rglob("*.h")), f"{prefix}/lib/libwolfssl.a"],
        include_dirs=[".", str(HERE)],
        extra_compile_args=["-isystem", f"{prefix}/include", "-D_GNU_SOURCE", "-pthread"],
        extra_objects=[f"{prefix}/lib/libwolfssl.a"],
        extra_link_args=["-pthread", *wrapped],
        libraries=["m"],
    )
    return ffi


ffi = describe()
