# SPDX-License-Identifier: GPL-3.0-or-later
"""cffi's description of the gateway's core: ``gateway.h`` is what Python sees, the ``.c`` files beside it what it does.

The static wolfSSL comes from ``OCSENTRY_WOLFSSL`` or is built once by ``wolfssl.sh``.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from cffi import FFI

HERE = Path("vpn_frontend/native")  # setuptools wants sources relative to the project, where it is run
SOURCES = [
    "acknowledgement.c", "channel.c", "checksum.c", "coalescer.c", "commands.c", "crossing.c", "cstp.c",
    "dtls_channel.c", "dtls_context.c", "dtls_cookie.c", "dtls_datagrams.c", "dtls_directory.c",
    "dtls_hello.c", "dtls_link.c", "dtls_paths.c", "dtls_port.c", "dtls_proof.c", "events.c", "gateway.c",
    "inner.c", "keyed_hash.c", "link.c", "listener.c", "mailbox.c", "moving.c", "outbox.c", "oversize.c",
    "record_memory.c", "routes.c", "segments.c", "session.c", "tls.c", "tun.c", "worker.c",
]  # fmt: skip


def declarations(header: Path) -> str:
    """The header without its preprocessor lines, as cffi wants it."""
    return re.sub(r"^#.*$", "", header.read_text(encoding="utf-8"), flags=re.MULTILINE)


def describe() -> FFI:
    prefix = subprocess.run([HERE / "wolfssl.sh"], check=True, capture_output=True, text=True).stdout.strip()
    ffi = FFI()
    ffi.cdef(declarations(HERE / "gateway.h"))
    ffi.set_source(
        "vpn_frontend._gateway",
        '#include "vpn_frontend/native/gateway.h"\n'
        # What cffi writes below was not written to our warnings.
        '#pragma GCC diagnostic ignored "-Wconversion"\n#pragma GCC diagnostic ignored "-Wsign-conversion"\n'
        '#pragma GCC diagnostic ignored "-Wunused-parameter"\n#pragma GCC diagnostic ignored "-Wshadow"\n'
        '#pragma GCC diagnostic ignored "-Wmissing-field-initializers"\n',
        sources=[str(HERE / name) for name in SOURCES],
        depends=[*map(str, HERE.glob("*.h")), f"{prefix}/lib/libwolfssl.a"],
        include_dirs=["."],
        extra_compile_args=["-isystem", f"{prefix}/include", "-D_GNU_SOURCE", "-pthread"],
        extra_objects=[f"{prefix}/lib/libwolfssl.a"],
        extra_link_args=["-pthread"],
        libraries=["m"],
    )
    return ffi


ffi = describe()
