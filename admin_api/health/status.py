# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of the server in one document, for HTTP and for the control socket."""

from datetime import datetime

from pydantic import Field

from admin_api.health.pools import count_pools
from admin_api.http.values import View
from admin_api.policy.schemas import PolicyView
from admin_api.services import Services
from admin_api.store.failures import describe_failure


class CertificateView(View):
    use: str = Field(description="Where clients see it: `vpn` or `admin`, the API's port.", examples=["vpn"])
    expires_at: datetime = Field(description="When it ends.", examples=["2030-04-01T00:00:00Z"])
    self_signed: bool = Field(description="Clients have to trust it by its fingerprint.", examples=[False])


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
    problems = await find_problems(services)
    facts, views = services.facts, services.sessions.list()
    return StatusView(
        version=services.version,
        started_at=services.started_at,
        uptime=(services.clock.wall() - services.started_at).total_seconds(),
        ready=not problems,
        problems=problems,
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


async def find_problems(services: Services) -> list[str]:
    """Returns the reasons why the server is not ready, one line each; an empty list means ready."""
    problems: list[str] = []
    failure = services.enforcement.status().failure
    if failure is not None:
        problems += [f"policy: {problem}" for problem in failure.problems]
    if services.fleet is None or services.fleet.needs_store:
        try:
            await services.store.check()
        except Exception as error:  # noqa: BLE001 - any error of the database means not ready
            problems.append(f"store: {describe_failure(error)}")
    for name, check in services.checks.items():
        said = await check()
        if said is not None:
            problems.append(f"{name}: {said}")
    return problems
