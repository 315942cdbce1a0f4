# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of the events of the server process. Its layer emits them; ``ocsentry.observability`` lists the kinds."""

from __future__ import annotations

from pydantic import Field

from admin_api.event_schemas.registry import EventFields, event


@event("gap")
class Gap(EventFields):
    """Events of the stream are missing here."""

    missed: int | None = Field(description="How many. Null: the server was restarted.", examples=[17])


@event("ready")
class Ready(EventFields):
    version: str = Field(examples=["1.0.0"])
    listen: list[str] = Field(examples=[["0.0.0.0:443"]])


@event("stopping")
class Stopping(EventFields):
    reason: str = Field(examples=["SIGTERM"])
    sessions: int = Field(examples=[12])


@event("configuration_reloaded")
class ConfigurationReloaded(EventFields):
    in_force: list[str] = Field(examples=[["vpn.limits.max_same_clients"]])
    needs_restart: list[str] = Field(examples=[["vpn.listen"]])
    by: str = Field(description="The caller.", examples=["signal"])


@event("configuration_refused")
class ConfigurationRefused(EventFields):
    problems: list[str] = Field(examples=[["ocsentry.toml: vpn.mtu: unknown key"]])


@event("certificate_reloaded")
class CertificateReloaded(EventFields):
    certificate: str = Field(examples=["/etc/ocsentry/server.crt"])


@event("certificate_refused")
class CertificateRefused(EventFields):
    error: str = Field(examples=["server.crt: the key does not match"])


@event("client_authorities_reloaded", "kernel_filter_restored")
class NoFields(EventFields):
    """The kind says it all."""


@event("helper_lost")
class HelperLost(EventFields):
    helper: str = Field(description="The name of the process.", examples=["PAM helper"])
    consequence: str = Field(
        description="What fails without it.", examples=["logins by PAM fail until the server is restarted"]
    )


@event("hook_failed")
class HookFailed(EventFields):
    hook: str = Field(examples=["connect"])
    user: str = Field(examples=["alice"])
    session: str = Field(examples=["5f3a9c0e7d214b68"])
    problem: str = Field(examples=["exit code 1"])
    output: str = Field(examples=["no route"])


@event("decision", "suspicion")
class Decision(EventFields):
    """What is not known is left out."""

    address: str = Field(examples=["198.51.100.7"])
    event: str = Field(examples=["connect"])
    verdict: str = Field(description="accept, reject or rate_limited.", examples=["reject"])
    reason: str = Field(examples=["rule"])
    latency_us: float = Field(description="Microseconds.", examples=[0.4])
    user: str | None = Field(None, examples=["alice"])
    rule: str | None = Field(None, examples=["no_lab"])
    retry_after: float | None = Field(None, description="Seconds.", examples=[60.0])
    country: str | None = Field(None, examples=["DE"])
    asn: int | None = Field(None, examples=[64500])
    note: str | None = Field(None, description="What a detector noticed.", examples=["many users from one source"])
    missed: int | None = Field(None, description="Decisions before this one that were left out.", examples=[12])


@event("feed_updated")
class FeedUpdated(EventFields):
    feed: str = Field(examples=["blocklist"])
    entries: int = Field(examples=[20000])


@event("feed_failed")
class FeedFailed(EventFields):
    feed: str = Field(examples=["blocklist"])
    error: str = Field(examples=["answered 404"])


@event("penalties_restored")
class PenaltiesRestored(EventFields):
    count: int = Field(examples=[4])


@event("sources_not_noted")
class SourcesNotNoted(EventFields):
    noted: int = Field(examples=[100000])
    left_out: int = Field(examples=[120])


@event("state_saved_whole")
class StateSavedWhole(EventFields):
    reason: str = Field(
        description="Why what changed is not known: `overflow` and `many` (a flood), `clock` (it was set), `labels` (a "
        "policy gave an event's number to another one), `failure`.",
        examples=["overflow"],
    )
    sources: int = Field(description="Sources that were written.", examples=[65536])
    seconds: float = Field(description="Duration of the save.", examples=[1.2])


@event("state_not_restored")
class StateNotRestored(EventFields):
    rows: int = Field(description="Rows that were left out.", examples=[3])
    error: str = Field(description="Of the first row.", examples=["'moved' is not a valid Reason"])


@event("watch_lost", "kernel_filter_failed")
class WatchLost(EventFields):
    error: str = Field(examples=["OSError(28, 'No space left on device')"])


@event("routes_lost")
class RoutesLost(EventFields):
    networks: list[str] = Field(examples=[["192.168.99.0/24"]])
    device: str = Field(examples=["ocs0"])


@event("routes_restored")
class RoutesRestored(EventFields):
    device: str = Field(examples=["ocs0"])


@event("worker_stuck")
class WorkerStuck(EventFields):
    workers: list[int] = Field(examples=[[1]])


@event("kernel_filter_behind")
class KernelFilterBehind(EventFields):
    seconds: float = Field(examples=[5.0])


@event("kernel_filter_full")
class KernelFilterFull(EventFields):
    networks: int = Field(examples=[65536])
    left_out: int = Field(examples=[12])
