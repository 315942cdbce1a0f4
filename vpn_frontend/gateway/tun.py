# SPDX-License-Identifier: GPL-3.0-or-later
"""The TUN device of the server: its queues, addresses and MTU.

The device exists as long as a queue is open, so a process that dies leaves nothing behind.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.gateway.rtnetlink import RouteSocket

if TYPE_CHECKING:
    from vpn_frontend.settings import VpnSettings

TUN = "/dev/net/tun"
IPV6_SETTINGS = Path("/proc/sys/net/ipv6/conf")
TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TUN = 0x0001
IFF_MULTI_QUEUE = 0x0100
IFF_TUN_EXCL = 0x8000
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000  # a virtio header before each packet, for GSO and GRO; the gateway detects it
MAX_NAME = 15  # bytes: IFNAMSIZ without its NUL
# Packets that the kernel queues while a worker is not running. All clients of a queue share it, so one client's burst
# into a full queue drops packets of others. 40 ms at 1 Gbit/s, longer than a thread waits on a busy machine.
QUEUE_LENGTH = 4000
QUEUES_PER_WORKER = 2  # one for calm clients, one for busy ones, so that a download delays only the latter


class TunError(Exception):
    """The device cannot be created or configured. The text names the step and the cause."""


@dataclass(frozen=True, slots=True)
class TunDevice:
    """The wanted device. ``addresses`` are the server's own, with the prefix lengths of their pools."""

    name: str
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    mtu: int


def open_queues(name: str, count: int) -> tuple[int, ...]:
    """Create the device with ``count`` queues. The caller owns the descriptors. Raises ``TunError``.

    An existing device of that name is an error: it may be another server's.
    """
    encoded = name.encode("ascii", "replace")
    if not 0 < len(encoded) <= MAX_NAME:
        raise TunError(f"{name!r} is not a name for a network device")
    queues: list[int] = []
    try:
        for index in range(count):
            flags = IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE | IFF_VNET_HDR | (0 if index else IFF_TUN_EXCL)
            queues.append(os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
            fcntl.ioctl(queues[-1], TUNSETIFF, struct.pack("16sH22x", encoded, flags))
    except OSError as error:
        for queue in queues:
            os.close(queue)
        raise TunError(f"cannot make the TUN device {name}: {_explain(error)}") from error
    return tuple(queues)


def configure(device: TunDevice) -> None:
    """Set addresses and MTU and bring the device up. Raises ``TunError``."""
    try:
        with RouteSocket() as netlink:
            index = netlink.find_link(device.name)
            netlink.set_link(index, mtu=device.mtu, queue_length=QUEUE_LENGTH)
            for interface in device.addresses:
                _add_address(netlink, index, interface)
            netlink.set_link_up(index)
            for interface in device.addresses:
                if isinstance(interface, IPv4Interface):
                    _add_halves(netlink, index, interface)
    except OSError as error:
        raise TunError(f"cannot set up the TUN device {device.name}: {error.strerror or error}") from error


def _add_address(netlink: RouteSocket, index: int, own: IPv4Interface | IPv6Interface) -> None:
    try:
        netlink.add_address(index, own)
    except OSError as error:
        if own.version == 6 and error.errno in (errno.EACCES, errno.EOPNOTSUPP):
            text = "this host has IPv6 switched off (net.ipv6.conf.*.disable_ipv6)"
            raise TunError(f'{text}: set vpn.network.ipv6_pool = "", or switch it on') from error
        raise


def _add_halves(netlink: RouteSocket, index: int, own: IPv4Interface) -> None:
    """Add routes for both halves of the pool, beside the kernel's own for all of it.

    A client on this host replaces the route to the pool by one to its own device, and removes it at its end. The halves
    are more specific, so that the other clients keep their answers. IPv6 keeps both routes by itself.
    """
    for half in own.network.subnets() if own.network.prefixlen < own.max_prefixlen else ():
        try:
            netlink.add_route(half, index, source=own.ip)
        except OSError as error:
            if error.errno != errno.EEXIST:  # a group's pool is that half
                raise


def ipv6_is_off(device: str) -> bool:
    """True if the kernel refuses IPv6 addresses on ``device``, or would on a new device of that name."""
    own = IPV6_SETTINGS / device
    try:
        return ((own if own.exists() else IPV6_SETTINGS / "default") / "disable_ipv6").read_text().strip() == "1"
    except FileNotFoundError:
        return True  # the kernel has no IPv6
    except OSError:
        return False  # not for this process to know


def _explain(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"{TUN} is missing: modprobe tun; in a container add the device"
    if error.errno == errno.EPERM:
        return f"{error.strerror}: CAP_NET_ADMIN is missing"
    return error.strerror or str(error)


def tun_device(settings: VpnSettings) -> TunDevice:
    """The device, with the first address of each pool as the server's own, those of groups too."""
    pools = (settings.network.ipv4_pool, settings.network.ipv6_pool, *settings.more_pools())
    addresses: list[IPv4Interface | IPv6Interface] = [
        ip_interface(f"{pool[1]}/{pool.prefixlen}") for pool in pools if pool is not None
    ]
    return TunDevice(settings.network.device, tuple(addresses), settings.network.mtu)
