# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables. ``store.migrations`` creates them; a test compares the two.

Text columns of addresses and networks hold the canonical form, so equal text means equal value.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column, relationship

from admin_api.store.columns import Base


class Membership(Base):
    """One group of one user; ``position`` keeps the given order."""

    __tablename__ = "memberships"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    group_name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]


class User(Base):
    """``key`` is the case-folded name: spellings that differ by case are one user."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    password_hash: Mapped[str]
    enabled: Mapped[bool]
    max_same_clients: Mapped[int | None]
    ipv4: Mapped[str | None] = mapped_column(unique=True)
    ipv6: Mapped[str | None] = mapped_column(unique=True)
    expires_at: Mapped[datetime | None]
    note: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    version: Mapped[int]

    memberships: Mapped[list[Membership]] = relationship(
        order_by=Membership.position, cascade="all, delete-orphan", passive_deletes=True, lazy="selectin"
    )

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(membership.group_name for membership in self.memberships)


class SeenDevice(Base):
    """A device that a user has opened a tunnel with, as its client described it at last.

    ``user`` is the comparison key of the name: users of outside servers have no row of their own. ``name`` is the
    operator's.
    """

    __tablename__ = "devices"

    user: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    platform: Mapped[str]
    platform_version: Mapped[str]
    kind: Mapped[str]
    hostname: Mapped[str]
    user_agent: Mapped[str]
    address: Mapped[str]
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime] = mapped_column(index=True)


class Totp(Base):
    """The one-time passwords of a user. Without ``confirmed_at`` logins do not need them yet.

    ``last_step`` and all steps before it are used up, the last one by the login ``last_login``.
    """

    __tablename__ = "totp"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    sealed_secret: Mapped[bytes]
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int] = mapped_column(BigInteger)
    last_login: Mapped[str | None]


class OtpUse(Base):
    """What a user of a one-time password file has used up: ``last_step`` and all before it, by ``last_login``.

    ``secret`` is a digest of the user's secret.
    """

    __tablename__ = "otp_uses"

    user: Mapped[str] = mapped_column(primary_key=True)
    secret: Mapped[str]
    last_step: Mapped[int] = mapped_column(BigInteger)
    last_login: Mapped[str]


class BackupCode(Base):
    """``used_by`` is the login that used the code up."""

    __tablename__ = "backup_codes"

    user_id: Mapped[int] = mapped_column(ForeignKey("totp.user_id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    used_by: Mapped[str | None]


class Token(Base):
    """``digest`` is SHA-256 of the secret. The secret is 256 random bits, so a slow hash would add no protection."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    scopes: Mapped[list[str]]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class Block(Base):
    __tablename__ = "blocks"

    id: Mapped[str] = mapped_column(primary_key=True)
    cidr: Mapped[str] = mapped_column(unique=True)
    reason: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)


class Rule(Base):
    """A rule made over the API, in the rule file format. ``version`` rises with each change; the ETag covers it."""

    __tablename__ = "rules"

    id: Mapped[str] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any]]
    version: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class PolicyRevision(Base):
    """One state of the policy that was in force: the rule files and the rules made over the API.

    With ``confirm_by`` it is rolled back at that time unless it is confirmed; ``outcome`` says what happened.
    """

    __tablename__ = "policy_revisions"

    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    reason: Mapped[str]
    rules: Mapped[int]
    confirm_by: Mapped[datetime | None]
    outcome: Mapped[str | None]


class PolicyChange(Base):
    """What a revision changed: a rule file, or a rule made over the API. The digests name rows of contents."""

    __tablename__ = "policy_changes"

    revision: Mapped[int] = mapped_column(
        ForeignKey("policy_revisions.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    source: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    before: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    after: Mapped[bytes | None] = mapped_column(LargeBinary(32))


class PolicyContent(Base):
    """The content of a rule file or rule, compressed, by its SHA-256. ``changed_at``: Unix time, of a file."""

    __tablename__ = "policy_contents"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    data: Mapped[bytes]
    changed_at: Mapped[float | None] = mapped_column(Double)


class PolicyFile(Base):
    """A rule file in force. ``digest`` is null for one that is on disk and not in force.

    ``held``: a rollback put this state in force. It stays until the file on disk, then ``rejected`` (null: absent),
    changes again.
    """

    __tablename__ = "policy_files"

    name: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    held: Mapped[bool]
    rejected: Mapped[bytes | None] = mapped_column(LargeBinary(32))


class SessionRecord(Base):
    """The accounting record of one VPN session, written at its start, periodically, and at its end."""

    __tablename__ = "sessions"

    serial: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    user: Mapped[str]
    groups: Mapped[list[str]]
    address: Mapped[str]
    port: Mapped[int]
    ipv4: Mapped[str | None]
    ipv6: Mapped[str | None]
    transport: Mapped[str]
    tls_version: Mapped[str]
    cipher: Mapped[str]
    user_agent: Mapped[str]
    hostname: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]  # when the counters were last written
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None]
    node: Mapped[str] = mapped_column(server_default="")  # of the fleet that carries it; empty: no fleet
    resumption: Mapped[str | None]  # by which another process gives the open session back: digests, no secrets
    rx_packets: Mapped[int] = mapped_column(BigInteger)
    rx_bytes: Mapped[int] = mapped_column(BigInteger)
    tx_packets: Mapped[int] = mapped_column(BigInteger)
    tx_bytes: Mapped[int] = mapped_column(BigInteger)
    rx_dropped: Mapped[int] = mapped_column(BigInteger)
    tx_dropped: Mapped[int] = mapped_column(BigInteger)
    # The part of the above that DTLS carried:
    dtls_rx_packets: Mapped[int] = mapped_column(BigInteger, server_default="0")
    dtls_rx_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    dtls_tx_packets: Mapped[int] = mapped_column(BigInteger, server_default="0")
    dtls_tx_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")

    __table_args__ = (
        Index("ix_sessions_user_started_at", "user", "started_at"),
        Index("ix_sessions_ended_at", "ended_at"),
    )


class DailyUsage(Base):
    """Bytes of a user's sessions with a quota, both ways, on one day of the server's time zone."""

    __tablename__ = "daily_usage"

    user: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)


class Group(Base):
    """A group made over the API. ``settings`` is the JSON document of what its members get."""

    __tablename__ = "groups"

    name: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    note: Mapped[str]
    settings: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    version: Mapped[int]


class AuditEntry(Base):
    """One change by one caller. ``digest`` covers the row and the previous digest: lost or altered rows show."""

    __tablename__ = "audit"

    serial: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    detail: Mapped[dict[str, Any]]
    previous: Mapped[bytes] = mapped_column(LargeBinary(32))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))


class IdempotentAnswer(Base):
    """The stored answer to a creation: a repeated request gets it and creates nothing."""

    __tablename__ = "idempotent_answers"

    actor: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    status: Mapped[int]
    headers: Mapped[dict[str, Any]]
    body: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(index=True)


class StoredPenalty(Base):
    """A penalty in force when the process stopped, in wall time. ``until`` is null for a permanent one."""

    __tablename__ = "penalties"

    node: Mapped[str] = mapped_column(primary_key=True, server_default="")  # empty: no fleet
    network: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime | None]
    reason: Mapped[str]
    rule_id: Mapped[str | None]


class StoredSource(Base):
    """The strikes of a source, and its events inside rate windows, when the process stopped.

    Times are Unix time; ``events`` holds lists [label, first, last, count].
    """

    __tablename__ = "sources"

    node: Mapped[str] = mapped_column(primary_key=True, server_default="")
    network: Mapped[str] = mapped_column(primary_key=True)
    strikes: Mapped[int]
    forgotten_at: Mapped[float | None] = mapped_column(Double)
    events: Mapped[list[Any]] = mapped_column(JSON)


class StoredLocation(Base):
    """The countries that a user logged in from; place and Unix time of the last login, if a database knew the place."""

    __tablename__ = "whereabouts"

    node: Mapped[str] = mapped_column(primary_key=True, server_default="")
    user: Mapped[str] = mapped_column(primary_key=True)
    countries: Mapped[list[str]] = mapped_column(JSON)
    place: Mapped[list[float] | None] = mapped_column(JSON)
    seen_at: Mapped[float | None] = mapped_column(Double)


class SessionAccounting(Base):
    """A session that accounting servers are told of. The row goes when they have been told of its end.

    ``name`` is the user's as the servers spell it; ``classes`` are base64. The rest is in the row of the session.
    """

    __tablename__ = "session_accounting"

    session_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    classes: Mapped[list[str]]
    by_radius: Mapped[bool]
    interim: Mapped[int]
    start_told: Mapped[bool]
