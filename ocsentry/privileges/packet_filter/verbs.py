# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper's verbs for the packet filter. The table, its ports and its exemptions come from the scope alone.

A request carries networks and whole seconds, and nothing else: a server that was taken over can refuse sources on its
own ports, and no source of ``never_block``. The table ends with this process, because the kernel removes a table with
``flags owner`` when its netlink socket is closed (Linux 5.12). No other program can change or remove it.
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_network
from typing import TYPE_CHECKING

from ocsentry.privileges.helper.answer import Answer, Refused
from ocsentry.privileges.packet_filter.counters import CounterSocket
from ocsentry.privileges.packet_filter.libnftables import Nftables, NftablesError
from ocsentry.privileges.packet_filter.table import (
    COUNTERS,
    SETS,
    Network,
    element_text,
    render_table,
    set_of,
    table_name,
)
from vpn_frontend.settings import parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ocsentry.privileges.helper.protocol import Document
    from ocsentry.privileges.helper.scope import Scope

MAX_CHANGES = 500  # networks in each list of one request
MAX_SECONDS = 10 * 365 * 86_400


class PacketFilter:
    """Owns the connection to nftables. Made before the privileges are dropped."""

    def __init__(self, scope: Scope) -> None:
        """Raises ``PrivilegeError``."""
        self._name = table_name(scope.device.name)
        tcp, udp = (tuple(map(parse_endpoint, texts)) for texts in (scope.listeners, scope.datagrams))
        self._text = render_table(self._name, tcp, udp, scope.never_block)
        self._nftables = Nftables()
        self._counters = CounterSocket()

    def verbs(self) -> dict[str, Callable[[Scope, Document], Answer]]:
        return {"open_filter": self.open_filter, "change_filter": self.change_filter, "read_filter": self.read_filter}

    def open_filter(self, _: Scope, __: Document) -> Answer:
        """Replace the table by one with empty sets."""
        self._nftables.run(self._text)
        return Answer()

    def change_filter(self, _: Scope, message: Document) -> Answer:
        """``remove`` networks, then ``add`` pairs of a network and its seconds (0: no end), all or nothing."""
        removed = [_read_network(one) for one in _read_list(message.get("remove"))]
        added = [_read_addition(one) for one in _read_list(message.get("add"))]
        removal, addition = list(self._render("delete", removed)), list(self._render("add", added))
        try:
            self._nftables.run("\n".join([*removal, *addition]))
        except NftablesError:
            if not removed:
                raise
            # One of them has just expired. An addition makes each deletion possible.
            self._nftables.run("\n".join([*self._render("add", removed), *removal, *addition]))
        return Answer()

    def read_filter(self, _: Scope, __: Document) -> Answer:
        """Packets that were dropped since the table was made, by family."""
        return Answer({family: self._counters.read(self._name, name).packets for family, name in COUNTERS.items()})

    def _render(self, command: str, elements: Iterable[tuple[Network, int]]) -> Iterator[str]:
        by_set: dict[str, list[str]] = {kind.name: [] for kind in SETS}
        for network, seconds in elements:
            timeout = f" timeout {seconds}s" if seconds else ""
            by_set[set_of(network.version, network.prefixlen).name].append(element_text(network) + timeout)
        for name, texts in by_set.items():
            if texts:
                yield f"{command} element inet {self._name} {name} {{ {', '.join(texts)} }}"


def _read_list(value: object) -> list[object]:
    if not isinstance(value, list) or len(value) > MAX_CHANGES:
        raise Refused(f"a change has two lists, remove and add, of at most {MAX_CHANGES} networks")
    return value


def _read_network(value: object) -> tuple[Network, int]:
    """A network as it is written canonically, and no timeout."""
    with suppress(ValueError):
        if isinstance(value, str) and str(network := ip_network(value)) == value:
            return network, 0
    raise Refused("a network is an address and a prefix length without host bits")


def _read_addition(value: object) -> tuple[Network, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise Refused("an addition is a network and its seconds")
    network, _ = _read_network(value[0])
    seconds = value[1]
    if type(seconds) is not int or not 0 <= seconds <= MAX_SECONDS:
        raise Refused(f"seconds are a whole number from 0 to {MAX_SECONDS}")
    return network, seconds
