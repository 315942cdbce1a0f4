# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of the server in one document, for HTTP and for the control socket."""

from datetime import datetime

from pydantic import Field

from admin_api.health.checks import list_problems, run_checks
from admin_api.health.pools import count_pools
from admin_api.http.values import View
from admin_api.policy.schemas import PolicyView
from admin_api.services import Services


class CertificateView(View):
    use: str = Field(description="Where clients see it: `vpn` or `admin`, the API's port.", examples=["vpn"])
    expires_at: datetime = Field(description="When it ends.", examples=["2030-04-01T00:00:00Z"])
    self_signed: bool = Field(description="Clients have to trust it by its fingerprint.", examples=[False])


class CheckView(View):
    name: str = Field(description="What is checked.", examples=["TUN device"])
    problems: list[str] = Field(description="What is wrong, one line each.", examples=[["it is gone"]])


class PoolView(View):
    network: str = Field(description="Where inner addresses come from.", examples=["192.168.99.0/24"])
    addresses: int = Field(description="Addresses for clients, at most 2^53.", examples=[253])
    used: int = Field(description="Those that live sessions have.", examples=[12])


class StatusView(View):
    version: str
    started_at: datetime
    uptime: float = Field(description="Seconds.")
    ready: bool
    problems: list[str] = Field(description="Why the server is not ready.")
    checks: list[CheckView] = Field(description="What the server checks of itself. Of the host tells `doctor`.")
    needs_restart: list[str] = Field(description="Keys of the configuration that are changed, and wait for a restart.")
    sessions: int
    leases: int
    blocks: int
    blocks_not_stored: int = Field(description="Blocks that the database could not be told of yet.")
    penalties: int
    policy: PolicyView
    certificates: list[CertificateView] = Field(description="Those in use.")
    pools: list[PoolView] = Field(description="Of inner addresses.")


async def describe_status(services: Services) -> StatusView:
    checks = await run_checks(services)
    facts, views = services.facts, services.sessions.list()
    return StatusView(
        version=services.version,
        started_at=services.started_at,
        uptime=(services.clock.wall() - services.started_at).total_seconds(),
        ready=not any(check.problems for check in checks),
        problems=list_problems(checks),
        checks=[CheckView(name=check.name, problems=list(check.problems)) for check in checks],
        needs_restart=list(services.needs_restart()),
        sessions=len(views),
        leases=len(services.engine.leases()),
        blocks=len(services.enforcement.blocks),
        blocks_not_stored=services.enforcement.blocks.unstored,
        penalties=len(services.engine.penalties()),
        policy=PolicyView.model_validate(services.enforcement.status()),
        certificates=[
            CertificateView(use=use, expires_at=end, self_signed=use == "vpn" and facts.self_signed)
            for use, end in sorted(facts.certificates.items())
        ],
        pools=[
            PoolView(network=str(pool.network), addresses=pool.addresses, used=pool.used)
            for pool in count_pools(facts.pools, views)
        ],
    )
