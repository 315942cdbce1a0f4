# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API needs from the VPN and the engine, as narrow as it uses it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from admin_api.http.values import Network
    from sentry_engine import Policy
    from vpn_frontend.ports import SessionView

PasswordHasher = Callable[[str], Awaitable[str]]
ReadinessCheck = Callable[[], Awaitable[str | None]]  # of readiness: what is wrong, or None
GatewayStats = Callable[[], Mapping[str, int]]  # the gateway's counters by name


class LiveSessions(Protocol):
    """The sessions of the VPN; ``vpn_frontend.sessions.table.SessionTable`` is one."""

    def list(self) -> Sequence[SessionView]: ...

    def get(self, session_id: str) -> SessionView | None: ...

    def kill(self, session_id: str, text: str) -> bool:
        """Disconnect it and tell the client ``text``; false: there is no such session."""

    def kill_user(self, user: str, text: str) -> int:
        """Disconnect every session of a user, logins without a tunnel too; returns how many tunnels."""

    async def reassess(self, now: float | None = None) -> Sequence[SessionView]:
        """Disconnect whatever the engine now refuses, and return it."""

    def affected_by(self, network: Network) -> Sequence[SessionView]:
        """What a block of ``network`` would disconnect."""


class PolicyLoader(Protocol):
    """Compiles rule files, and documents that are in no file, to one policy. ``Policy.load`` is one."""

    def __call__(self, *paths: str, documents: Mapping[str, Mapping[str, object]]) -> Policy: ...
