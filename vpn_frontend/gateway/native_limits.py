# SPDX-License-Identifier: GPL-3.0-or-later
"""Native restrictions and budgets (``native/limits/``). Python's reference ends with the Python object."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from vpn_frontend._gateway import ffi, lib
from vpn_frontend.gateway.address_ranges import EVERYWHERE, subtract_networks
from vpn_frontend.gateway.interface import GatewayError
from vpn_frontend.gateway.limits import MAX_BUDGETS, Restriction, TunnelLimits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vpn_frontend._gateway import BudgetPointer, GatewayPointer, PortsPointer, RangesPointer, RestrictionPointer
    from vpn_frontend.settings import Network

MAPPED = bytes(10) + b"\xff\xff"
CACHED_RESTRICTIONS = 256  # values whose native object is kept for further sessions
LARGEST_RATE = (1 << 63) - 1


class NativeBudget:
    """Implements ``Budget``."""

    def __init__(self) -> None:
        budget = lib.gw_budget_new()
        if not budget:
            raise GatewayError("budget: out of memory")
        self.pointer: BudgetPointer = ffi.gc(budget, lib.gw_budget_release)

    def set_rates(self, from_client: int, to_client: int) -> None:
        lib.gw_budget_set_rates(self.pointer, min(from_client, LARGEST_RATE), min(to_client, LARGEST_RATE))

    def set_quota(self, left: int | None) -> None:
        lib.gw_budget_set_quota(self.pointer, -1 if left is None else max(0, min(left, LARGEST_RATE)))

    def quota_left(self) -> int | None:
        left = lib.gw_budget_quota(self.pointer)
        return None if left < 0 else left


def pack_ranges(networks: Iterable[Network], excluded: Iterable[Network] = ()) -> list[tuple[bytes, bytes]]:
    """``networks`` less ``excluded`` as values of ``struct gw_address_range``, IPv4 before IPv6, ascending."""
    kept, holes = tuple(networks), tuple(excluded)
    if not kept:  # most sessions have no network behind them
        return []
    ranges4, ranges6 = subtract_networks(kept, holes, 4), subtract_networks(kept, holes, 6)
    packed = [(MAPPED + first.to_bytes(4, "big"), MAPPED + last.to_bytes(4, "big")) for first, last in ranges4]
    return packed + [(first.to_bytes(16, "big"), last.to_bytes(16, "big")) for first, last in ranges6]


@lru_cache(maxsize=CACHED_RESTRICTIONS)
def native_restriction(restriction: Restriction) -> RestrictionPointer:
    """The native object of a value. Sessions hold references of their own, so the cache may forget it at any time."""
    by_network = restriction.networks is not None or bool(restriction.except_networks)
    networks = EVERYWHERE if restriction.networks is None else restriction.networks
    packed = pack_ranges(networks, restriction.except_networks) if by_network else []
    ports = [(ports.first, ports.last, int(ports.protocol)) for ports in restriction.ports or ()]
    rule = lib.GW_PORTS_EXCEPT if restriction.all_but_ports else lib.GW_PORTS_ONLY
    fields: dict[str, int | RangesPointer | PortsPointer] = {
        "networks": ffi.new("struct gw_address_range[]", packed),
        "network_count": len(packed),
        "by_network": int(by_network),
        "ports": ffi.new("struct gw_port_range[]", ports),
        "port_count": len(ports),
        "port_rule": lib.GW_PORTS_ANY if restriction.ports is None else rule,
    }
    made = lib.gw_restriction_new(ffi.new("struct gw_restriction_config *", fields))
    if not made:
        raise GatewayError(
            f"restriction: {len(packed)} address ranges and {len(ports)} port ranges are too many"
            f" (at most {lib.GW_RESTRICTION_NETWORKS_MAX} and {lib.GW_RESTRICTION_PORTS_MAX}),"
            " a port range is reversed, or there is no memory"
        )
    return ffi.gc(made, lib.gw_restriction_release)


def set_limits(gateway: GatewayPointer, session: int, limits: TunnelLimits) -> int:
    """Returns 0 or a negative errno. Raises ``GatewayError``: limits that the native core refuses."""
    if len(limits.budgets) > MAX_BUDGETS:
        raise GatewayError(f"limits: {len(limits.budgets)} budgets, at most {MAX_BUDGETS} are possible")
    native = ffi.new("struct gw_session_limits *")
    restriction = native_restriction(limits.restriction) if limits.restriction is not None else None
    if restriction is not None:
        native.restriction = restriction  # the local variable keeps it until the session has a reference
    for index, budget in enumerate(limits.budgets):
        if not isinstance(budget, NativeBudget):
            raise GatewayError("limits: a budget of another gateway")
        native.budgets[index] = budget.pointer
    return lib.gw_session_limit(gateway, session, native)
