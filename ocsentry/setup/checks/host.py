# SPDX-License-Identifier: GPL-3.0-or-later
"""Native cores, the database's driver, the TUN device, ports, and the clock."""

from __future__ import annotations

import errno
import fcntl
import importlib
import os
import socket
import struct
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.setup.certificates import utc_now
from ocsentry.setup.checks.result import CheckResult
from ocsentry.setup.checks.running import server_process
from ocsentry.setup.listening_ports import Owner, find_owner, unit_of, uses_port
from vpn_frontend.gateway.tun import IFF_NO_PI, IFF_TUN, TUNSETIFF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocsentry.configuration.model import LoadedConfig
    from vpn_frontend.settings import Endpoint

TUN_DEVICE = Path("/dev/net/tun")
MAKE_TUN = (
    f"{{ modprobe tun || true; }} && mkdir -p {TUN_DEVICE.parent} && "
    f"{{ test -e {TUN_DEVICE} || mknod -m 600 {TUN_DEVICE} c 10 200; }}"
)
PROBE = b"ocscheck%d"  # the kernel numbers it; it is gone when the check closes it
NATIVE_CORES = ("sentry_engine.cores.native.core", "vpn_frontend.gateway.native_gateway")
CLOCK_FLOOR = datetime(2025, 1, 1, tzinfo=UTC)  # earlier than any build: the clock is not set
DRIVER = "psycopg"
SERVICE_MANAGER = Owner(1, "systemd")  # keeps sockets of a unit over its restart
RIVAL = "ocserv.service"  # does the same on the same port: one of the two has to stop


def check_native_cores(_: LoadedConfig) -> Iterator[CheckResult]:
    for name in NATIVE_CORES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            yield CheckResult(name, "fail", str(error), "install the package again; in a checkout: make build")
        else:
            yield CheckResult(name, "ok", "loads, with the ABI of this version")


def check_driver(config: LoadedConfig) -> Iterator[CheckResult]:
    if not config.store_url.startswith("postgresql"):
        return
    try:
        importlib.import_module(DRIVER)
    except ImportError as error:
        command = f"{sys.executable} -m pip install 'psycopg[binary]'"
        yield CheckResult("database driver", "fail", f"{DRIVER} does not load: {error}", "install it", command)
    else:
        yield CheckResult("database driver", "ok", f"{DRIVER} loads")


def check_tun(_: LoadedConfig) -> Iterator[CheckResult]:
    name = "TUN device"
    try:
        with open(TUN_DEVICE, "r+b", buffering=0) as device:  # noqa: PTH123 - Path.open would seek
            fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", PROBE, IFF_TUN | IFF_NO_PI))
    except FileNotFoundError:
        fix = "load the driver; in a container: add the device"
        yield CheckResult(name, "fail", f"{TUN_DEVICE} is missing", fix, MAKE_TUN)
    except PermissionError as error:
        if os.geteuid():
            yield CheckResult(name, "warn", f"no device can be made: {error.strerror}", "run the doctor as root")
            return
        fix = "the container lacks it: add CAP_NET_ADMIN and the device"
        yield CheckResult(name, "fail", f"no device can be made: {error.strerror}", fix)
    except OSError as error:
        yield CheckResult(name, "fail", f"{TUN_DEVICE}: {error.strerror}", "load the driver", "modprobe tun")
    else:
        yield CheckResult(name, "ok", f"{TUN_DEVICE} makes devices")


def check_ports(config: LoadedConfig) -> Iterator[CheckResult]:
    vpn = config.vpn
    wanted = [] if vpn.listen_netns else [(endpoint, socket.SOCK_STREAM) for endpoint in vpn.listen]
    if vpn.dtls and not vpn.listen_netns:
        wanted += [(endpoint, socket.SOCK_DGRAM) for endpoint in vpn.dtls_listen or vpn.listen]
    if config.values.admin.listen is not None:
        wanted.append((config.values.admin.listen, socket.SOCK_STREAM))
    server = server_process(config)
    for endpoint, kind in wanted:
        yield check_port(endpoint, kind, server)


def check_port(endpoint: Endpoint, kind: socket.SocketKind, server: int | None) -> CheckResult:
    """``server``: the process that may have the port."""
    name = f"{'TCP' if kind is socket.SOCK_STREAM else 'UDP'} {endpoint}"
    family = socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, kind) as probe:
            if kind is socket.SOCK_STREAM:  # ignore TIME_WAIT; UDP has none, and would share the port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not endpoint.address.is_unspecified)
            probe.bind((str(endpoint.address), endpoint.port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _used_port(name, endpoint.port, kind, server)
        if error.errno == errno.EAFNOSUPPORT:
            return CheckResult(name, "fail", "this host has no IPv6", 'listen on "0.0.0.0:PORT"')
        detail = error.strerror or "cannot be bound"
        if error.errno == errno.EACCES:
            return CheckResult(name, "warn", detail, "run the doctor as root")
        return CheckResult(name, "fail", detail, "name another address")
    return CheckResult(name, "ok", "free")


def _used_port(name: str, port: int, kind: socket.SocketKind, server: int | None) -> CheckResult:
    try:
        if server is not None and uses_port(server, kind, port):
            return CheckResult(name, "ok", f"this server listens (process {server})")
    except OSError as error:
        detail = f"in use; whether by this server cannot be seen: {error.strerror}"
        return CheckResult(name, "warn", detail, "run the doctor as root")
    owner = find_owner(kind, port)
    if owner is None:
        return CheckResult(name, "fail", "in use by another program", "see which as root: ss -lntup")
    if owner == SERVICE_MANAGER:
        return CheckResult(name, "ok", "held by systemd for a unit")
    unit = unit_of(owner.process)
    detail = f"in use by another program: {owner.name} (process {owner.process}{f', {unit}' if unit else ''})"
    command = f"systemctl disable --now {unit}" if unit == RIVAL else ""
    return CheckResult(name, "fail", detail, "stop that program, or change the port here", command)


def check_clock(_: LoadedConfig) -> Iterator[CheckResult]:
    now = utc_now()
    if now < CLOCK_FLOOR:
        yield CheckResult(
            "clock", "fail", f"{now:%Y-%m-%d %H:%M} UTC is in the past", "set the clock", "timedatectl set-ntp true"
        )
    else:
        yield CheckResult("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")
