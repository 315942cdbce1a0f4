# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces that the API needs from the VPN and the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from sentry_engine.records import dataclass
from vpn_frontend.ports import CloseReason

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sentry_engine import Policy
    from sentry_engine.policy.feeds import Refresh
    from sentry_engine.rules.model import FeedRule
    from sentry_engine.rules.policy_part import PolicyPart
    from vpn_frontend.ports import SessionStatistics, SessionView, Traffic, UserRecord, WaitingLogin
    from vpn_frontend.settings import Network, Overrides

PasswordHasher = Callable[[str], Awaitable[str]]
ReadinessCheck = Callable[[], Awaitable[str | None]]  # returns what is wrong, or None
GatewayStats = Callable[[], Mapping[str, int]]  # returns the gateway's counters by name


class LiveSessions(Protocol):
    """The live sessions of the VPN; ``vpn_frontend.sessions.live_sessions.LiveSessions`` implements it."""

    def list(self) -> Sequence[SessionView]: ...

    def traffic(self) -> Traffic:
        """What all have carried since the start. Its cost does not depend on their number, as that of ``list`` does."""

    def get(self, session_id: str) -> SessionView | None: ...

    def kill(self, session_id: str, text: str, *, reason: CloseReason = CloseReason.KILLED) -> bool:
        """Disconnect the session and send its client ``text``. Returns false if there is no such session."""

    def disconnect(self, session_id: str, text: str, now: float) -> bool:
        """As ``kill``, but the client may come back with its cookie for ``disconnect_grace``. ``now`` is monotonic."""

    def waiting_logins(self) -> Sequence[WaitingLogin]:
        """The logins whose clients have not asked for a tunnel yet."""

    def statistics(self) -> SessionStatistics | None:
        """Counts of logins and sessions. ``None``: the VPN has not started."""

    def reset_statistics(self) -> None:
        """Begin another period of the statistics."""

    def kill_user(self, user: str, text: str) -> int:
        """Disconnect every session of a user, and every login without a tunnel. Returns how many tunnels ended."""

    def change_user(self, before: UserRecord, after: UserRecord, *, dry_run: bool = False) -> Sequence[SessionView]:
        """Apply a changed user to its live sessions. Returns those that this disconnects; a dry run changes nothing."""

    def change_groups(self, groups: Mapping[str, Overrides], *, dry_run: bool = False) -> Sequence[SessionView]:
        """Apply all groups made over the API to live sessions. Returns those that this disconnects."""

    async def reassess(self, now: float | None = None) -> Sequence[SessionView]:
        """Disconnect every session that the engine now refuses. Returns these sessions."""

    def affected_by(self, network: Network) -> Sequence[SessionView]:
        """Returns the sessions that a block of ``network`` would disconnect."""


class FeedControl(Protocol):
    """The downloads of block lists."""

    def kept_at(self, feed: FeedRule) -> Path | None:
        """Returns the file of a list from a URL."""

    def problem_of(self, feed_id: str) -> str:
        """Returns why the last download failed; empty: it did not."""

    async def refresh(self, feed_id: str) -> Refresh | None:
        """Download a list now. Returns ``None`` if no rule file names it by URL."""


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """What a receiver answered. ``retry_after``: seconds that it asks for."""

    status: int
    retry_after: float | None = None


class WebhookSender(Protocol):
    """Sends one request to a receiver."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        """Returns the answer. Raises ``OSError`` if there is none in time, or for a place that is not allowed."""


class WebhookControl(Protocol):
    """The deliveries of this process."""

    async def apply(self) -> None:
        """Read the webhooks again: one was added, changed or removed, or a delivery was queued."""


class NoWebhooks:
    """Nothing is delivered, as in tests and without a server."""

    async def apply(self) -> None:
        """There is nothing to do."""


class SettingOrigin(StrEnum):
    DEFAULT = "default"
    FILE = "file"  # the configuration's
    API = "api"  # an override over the file


@dataclass(frozen=True, slots=True)
class SettingEntry:
    """One setting as JSON. ``live``: it can be overridden. ``file_value``: what an override hides."""

    value: object
    origin: SettingOrigin
    live: bool
    file_value: object = None
    changed_by: str | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SettingsState:
    """The settings in force by key, keys of the file that wait for a restart, and the ETag of both."""

    settings: Mapping[str, SettingEntry]
    needs_restart: Sequence[str]
    etag: str


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What a change did; in a dry run, what it would do."""

    state: SettingsState
    in_force: Sequence[str]
    sessions_cut: int = 0


class AcmeControl(Protocol):
    """The challenges of ACME servers that the VPN's port answers."""

    def put(self, name: str, key_authorization: str, now: float) -> None:
        """Raises ``TooManyChallengesError``."""

    def remove(self, name: str) -> bool:
        """Returns whether there was one."""


class SettingsControl(Protocol):
    """The configuration of the running server."""

    async def read(self) -> SettingsState: ...

    async def change(
        self, changes: Mapping[str, object], check: Callable[[str], None], *, by: str, dry_run: bool
    ) -> SettingsChange:
        """Override settings by key; ``None`` removes an override. ``check`` gets the ETag first, and may raise.

        Raises ``ApiError`` for a key or value that cannot be used.
        """


class NoFeeds:
    """There are no downloads, as in tests and without a server."""

    def kept_at(self, feed: FeedRule) -> Path | None:  # noqa: ARG002 - the interface
        return None

    def problem_of(self, feed_id: str) -> str:  # noqa: ARG002
        return ""

    async def refresh(self, feed_id: str) -> Refresh | None:  # noqa: ARG002
        return None


class PolicyLoader(Protocol):
    """Compiles rule files that were read, and rule documents, to one policy; ``Policy.load`` implements it."""

    def __call__(
        self,
        *paths: str,
        documents: Mapping[str, Mapping[str, object]],
        parts: Mapping[str, PolicyPart] | None = None,
    ) -> Policy: ...
