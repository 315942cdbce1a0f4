# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper's verbs. Each checks its arguments against the scope, and is bounded in time and size.

A new verb is a function in ``VERBS``: it takes the scope and the message, and returns what is added to the answer and
the descriptors that go with it. ``OSError`` and ``Refused`` become error answers. Those of the packet filter are in
``ocsentry.privileges.packet_filter.verbs``, those of the private keys in ``ocsentry.privileges.signing.verbs``.
"""

from __future__ import annotations

import errno
import os
from ipaddress import IPv4Network, ip_network
from typing import TYPE_CHECKING

from ocsentry.privileges.helper.answer import Answer, Refused
from ocsentry.privileges.helper.files import MAX_FILE, open_file
from ocsentry.privileges.helper.late_files import check_content, name_file
from vpn_frontend.gateway import sockets, tun
from vpn_frontend.gateway.host_networks import local_networks, taken_addresses
from vpn_frontend.gateway.rtnetlink import RouteSocket
from vpn_frontend.settings import parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocsentry.privileges.helper.protocol import Document
    from ocsentry.privileges.helper.scope import Scope
    from vpn_frontend.settings import Network

MAX_SOCKETS = 64  # one for each worker
MAX_QUEUES = MAX_SOCKETS * tun.QUEUES_PER_WORKER


def read_key(scope: Scope, message: Document) -> Answer:
    """A descriptor of one file of the configuration, by its key: ``file``. Not of those for the signing process."""
    name = str(message.get("file"))
    if scope.is_private(name):
        raise Refused("the signing process alone reads this file (process.key_isolation)")
    path = scope.plain_file(name)
    descriptor = open_file(path)
    if path is not None and scope.private_files:
        try:
            _check_isolation(scope, name, descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
    return Answer({}, (descriptor,))


def _check_isolation(scope: Scope, name: str, descriptor: int, path: Path) -> None:
    if scope.leads_to_private(name, descriptor):
        raise Refused(f"{path}: it leads to a file that the signing process alone reads")
    if scope.is_late(name):
        check_content(descriptor, path, MAX_FILE)


def open_sockets(scope: Scope, message: Document) -> Answer:
    """``count`` sockets bound to one configured ``endpoint``; ``protocol`` is ``tcp`` or ``udp``. None listens yet."""
    protocol, endpoint, count = (message.get(key) for key in ("protocol", "endpoint", "count"))
    allowed = {"tcp": scope.listeners, "udp": scope.datagrams}.get(str(protocol), ())
    if endpoint not in allowed:
        raise Refused("the configuration names no such endpoint")
    if not isinstance(count, int) or not 1 <= count <= MAX_SOCKETS:
        raise Refused(f"count must be 1 to {MAX_SOCKETS}")
    open_rows = sockets.bind_listeners if protocol == "tcp" else sockets.open_datagram_sockets
    try:
        rows = open_rows([parse_endpoint(str(endpoint))], count)
    except sockets.ListenError as error:
        raise Refused(str(error)) from error
    return Answer({}, tuple(descriptor for row in rows for descriptor in row))


def open_tun(scope: Scope, message: Document) -> Answer:
    """The descriptors of a new TUN device with ``queues`` queues, set up as the configuration says."""
    count = message.get("queues")
    if not isinstance(count, int) or not 1 <= count <= MAX_QUEUES:
        raise Refused(f"queues must be 1 to {MAX_QUEUES}")
    try:
        queues = tun.open_queues(scope.device.name, count)
        try:
            tun.configure(scope.device)
        except BaseException:
            for queue in queues:
                os.close(queue)
            raise
    except tun.TunError as error:
        raise Refused(str(error)) from error
    return Answer({}, queues)


def route(scope: Scope, message: Document) -> Answer:
    """``action`` (``add``, ``del``) a route for ``network`` to the TUN device, in the main table.

    Refused for what overlaps with another network of this host, except a single address that is free there: a client
    may be a host of that network, where the operator answers for it (proxy ARP). A route that is there already is none
    to add.
    """
    action, text = message.get("action"), message.get("network")
    if action not in {"add", "del"} or not isinstance(text, str):
        raise Refused("a route has an action, add or del, and a network")
    try:
        network = ip_network(text)
    except ValueError as error:
        raise Refused(str(error)) from error
    if not any(_is_inside(network, allowed) for allowed in scope.networks):
        raise Refused(f"{network} is outside the networks of the VPN")
    if any(_overlap(network, own) for own in local_networks(scope.device.name)):
        if network.num_addresses > 1:
            raise Refused(f"{network} overlaps with a network of this host")
        if network.network_address in taken_addresses():
            raise Refused(f"{network.network_address} is an address of this host or of its gateway")
    _change_route(scope.device.name, action, network)
    return Answer()


def _change_route(device: str, action: str, network: Network) -> None:
    with RouteSocket() as netlink:
        try:
            index = netlink.find_link(device)
        except OSError as error:
            raise OSError(errno.ENODEV, f"the TUN device {device} is gone") from error
        if action == "del":
            netlink.delete_route(network, index)
            return
        try:
            netlink.add_route(network, index)
        except OSError as error:
            if error.errno != errno.EEXIST or not _has_route(netlink, index, network):
                raise


def _has_route(netlink: RouteSocket, index: int, network: Network) -> bool:
    wanted = (network.network_address, network.prefixlen, index)
    return any((found.destination, found.prefixlen, found.link) == wanted for found in netlink.routes())


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _is_inside(network: object, allowed: object) -> bool:
    same = isinstance(network, IPv4Network) is isinstance(allowed, IPv4Network)
    return same and network.subnet_of(allowed)  # type: ignore[attr-defined]  # of the same family


VERBS: dict[str, Callable[[Scope, Document], Answer]] = {
    "name_file": name_file,
    "read_key": read_key,
    "open_sockets": open_sockets,
    "open_tun": open_tun,
    "route": route,
}
