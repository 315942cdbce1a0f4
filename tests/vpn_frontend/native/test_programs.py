# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure parts of the gateway in C, each tested by a C program that runs under ASan and UBSan."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NATIVE = ROOT / "vpn_frontend" / "native"
WHOLE = sorted(NATIVE.rglob("*.c"))
FAULT_STEP = int(os.environ.get("OCSENTRY_FAULT_STEP", "4"))
CALLS = """
    accept4 epoll_create1 epoll_ctl epoll_wait eventfd fcntl getrandom getsockname ioctl nanosleep prctl pthread_create
    read recv recvmmsg send sendmmsg sendmsg setsockopt shutdown timerfd_create timerfd_settime writev
"""
PROGRAMS = {
    "dtls/test_hello": ["dtls/hello.c", "dtls/cookie.c", "dtls/hmac.c"],
    "dtls/test_replay": [],
    "dtls/test_session_memory": [],
    "dtls/test_tables": ["dtls/client_table.c", "dtls/path_cache.c"],
    "dtls/test_udp_batch": ["dtls/udp_batch.c"],
    "limits/test_budget": ["limits/budget.c"],
    "limits/test_packet_filter": [
        "limits/packet_filter.c",
        "limits/restriction.c",
        "limits/fragment_table.c",
        "packet/icmp_quote.c",
        "packet/inner_packet.c",
    ],
    "packet/test_inner_packet": ["packet/inner_packet.c"],
    "packet/test_proxy_header": ["packet/proxy_header.c"],
    "packet/test_short_packets": [
        f"packet/{name}.c" for name in ("ack_filter", "checksum", "gso", "icmp_quote", "path_mtu")
    ],
    "tables/test_address_table": ["tables/address_table.c"],
    "runtime/test_busy_links": ["runtime/busy_links.c"],
    "runtime/test_dpd": [],
    "runtime/test_session_table": ["runtime/session_table.c"],
    "runtime/test_session_wheel": ["runtime/session_wheel.c"],
    "tables/test_prefix_table": ["tables/prefix_table.c"],
    "runtime/test_routes": [
        "runtime/routes.c",
        "tables/address_table.c",
        "tables/prefix_table.c",
        "queues/mailbox.c",
    ],
    "tun/test_order": [
        "tun/queue.c",
        "runtime/busy_links.c",
        *(f"packet/{name}.c" for name in ("ack_filter", "checksum", "gro", "gso")),
    ],
    "tls/test_hello": ["tls/hello.c"],
    "tls/test_late_messages": [],
    "tls/test_fips": ["tls/fips.c"],
    "tls/test_record_pool": ["tls/record_pool.c"],
    "aes_gcm/test_vaes_gcm": ["aes_gcm/aes_gcm.c", "aes_gcm/vaes_gcm.c"],
    "connections/test_source_eviction": ["connections/source_eviction.c", "connections/source_table.c"],
}
OPTIONS = {
    "tun/test_order": ["-Wl,--wrap=ioctl"],
    "tls/test_fips": ["-DHAVE_FIPS"],
    "aes_gcm/test_vaes_gcm": [f"-Wl,@{NATIVE}/aes_gcm/aes_gcm.wrap"],
}
SANITIZERS = {"tls/test_record_pool": "undefined"}  # the others: ASan too, under which that one keeps nothing


@pytest.fixture(scope="module")
def wolfssl() -> Path:
    """The prefix of the library that the gateway is built with."""
    run = subprocess.run([NATIVE / "wolfssl.sh"], check=True, capture_output=True, text=True, timeout=600)
    return Path(run.stdout.strip())


def compile_c(program: str, output: Path, sources: list[Path], wolfssl: Path, *options: str) -> Path:
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
    include = [f"-I{NATIVE}", f"-I{Path(__file__).parent}", f"-I{ROOT}", f"-I{wolfssl}/include"]
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(
        ["gcc", *flags, *include, *sources, "-o", output, *options], check=True, timeout=240, env=environment
    )
    return output


def build(program: str, sources: list[Path], wolfssl: Path, folder: Path, *options: str) -> Path:
    libraries = [f"{wolfssl}/lib/libwolfssl.a", "-lm", "-lpthread"]
    own = Path(__file__).parent / f"{program}.c"
    return compile_c(program, folder / own.stem, [own, *sources], wolfssl, *options, *libraries)


@pytest.fixture(scope="module")
def whole(wolfssl: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The gateway as one object, for the programs that need all of it: compiling it takes longer than their runs."""
    return [compile_c("", tmp_path_factory.mktemp("whole") / "whole.o", WHOLE, wolfssl, "-r", "-nostdlib")]


def run(*command: str | Path) -> None:
    # The program has its own sanitizers. Options of the tests' own could switch its search for leaks off.
    environment = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "ASAN_OPTIONS")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str, wolfssl: Path, tmp_path: Path) -> None:
    sources = [NATIVE / name for name in PROGRAMS[program]]
    run(build(program, sources, wolfssl, tmp_path, *OPTIONS.get(program, [])))


def test_records_can_be_left_to_the_library(wolfssl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "aes_gcm/test_vaes_gcm"
    monkeypatch.setenv("OCSENTRY_AES", "wolfssl")
    sources = [NATIVE / name for name in PROGRAMS[program]]
    run(build(program, sources, wolfssl, tmp_path, *OPTIONS[program]))


def test_migration(wolfssl: Path, whole: list[Path], tmp_path: Path) -> None:
    run(build("tunnel/test_migration", whole, wolfssl, tmp_path))


def test_messages_follow_the_routes_posted_before_them(wolfssl: Path, whole: list[Path], tmp_path: Path) -> None:
    run(build("runtime/test_route_order", whole, wolfssl, tmp_path))


def test_an_allocation_that_fails_does_no_harm(
    wolfssl: Path, whole: list[Path], tmp_path: Path, ecdsa_pair: tuple[bytes, bytes]
) -> None:
    """Every FAULT_STEP-th of all that a gateway and its clients' logins, tunnels and DTLS make it ask for."""
    wrapped = "-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc"
    program = build("test_memory_faults", whole, wolfssl, tmp_path, wrapped)
    run(program, *write_pair(tmp_path, ecdsa_pair), "1", str(FAULT_STEP))


def test_a_system_call_that_fails_does_no_harm(
    wolfssl: Path, whole: list[Path], tmp_path: Path, ecdsa_pair: tuple[bytes, bytes]
) -> None:
    """At every place that makes one, in a gateway with a tunnel: once in each, or with every error, thrice."""
    program = build("test_call_faults", whole, wolfssl, tmp_path, *(f"-Wl,--wrap={call}" for call in CALLS.split()))
    run(program, *write_pair(tmp_path, ecdsa_pair), "long" if FAULT_STEP == 1 else "short")


def test_a_tun_queue_that_fails_ends_no_tunnel(
    wolfssl: Path, whole: list[Path], tmp_path: Path, ecdsa_pair: tuple[bytes, bytes]
) -> None:
    """Reads and writes fail in a gateway with a client: those that pass lose one packet, EBADFD is reported once."""
    program = build(
        "tun/test_tun_faults", whole, wolfssl, tmp_path, "-Wl,--wrap=read,--wrap=write,--wrap=writev,--wrap=ioctl"
    )
    run(program, *write_pair(tmp_path, ecdsa_pair))


def write_pair(folder: Path, pair: tuple[bytes, bytes]) -> tuple[Path, Path]:
    files = folder / "chain.pem", folder / "key.pem"
    for file, content in zip(files, pair, strict=True):
        file.write_bytes(content)
    return files
