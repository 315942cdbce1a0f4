# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of the packet filter in the kernel, which drops what the engine refuses (``policy.kernel``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpn_frontend.settings import Address


@dataclass(frozen=True, slots=True)
class KernelFigures:
    """``dropped``: packets by address family since the start. ``left_out``: refusals for which a set has no room."""

    dropped: Mapping[str, int]
    networks: int
    left_out: int


class KernelFilter(Protocol):
    async def lift(self) -> None:
        """Remove from the kernel what the engine has ceased to refuse. Returns when it has, or after a short wait.

        Call it without a lock. Never raises: a failure empties the filter, and like a delay it is an event.
        """

    def drops(self, address: Address) -> bool:
        """True if the kernel drops new connections from ``address``."""

    def figures(self) -> KernelFigures | None:
        """``None``: there is no filter in the kernel."""


class NoKernelFilter:
    """``policy.kernel = "off"``."""

    async def lift(self) -> None:
        """Nothing is in the kernel."""

    def drops(self, address: Address) -> bool:  # noqa: ARG002 - the interface
        return False

    def figures(self) -> None:
        return None
