# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands for ``%{R}``, ``%{RI}`` and ``%{D}`` in the arguments of ocserv's route-add-cmd and route-del-cmd.

Source: ``replace_cmd`` of ocserv's route-add.c. The name of the program is left as it is.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv6Network

_WORDS = re.compile(r"%\{(RI|R|D)\}|%([RD])")


def fill_in(argv: tuple[str, ...], network: IPv4Network | IPv6Network, device: str) -> tuple[str, ...]:
    """``argv`` for the route to ``network`` by ``device``. An argument stays one, whatever is put into it."""
    masked = network.with_netmask if isinstance(network, IPv4Network) else str(network)
    values = {"R": masked, "RI": str(network), "D": device}
    program, *words = argv
    return (program, *(_WORDS.sub(lambda found: values[found[1] or found[2]], word) for word in words))
