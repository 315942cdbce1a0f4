# SPDX-License-Identifier: GPL-3.0-or-later
"""``/healthz``, ``/readyz`` and ``/metrics`` at the root, ``/status`` under the API."""

from ipaddress import ip_address

from fastapi import Request, Response, status
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, Field

from admin_api.dependencies import PolicyWrite, ServicesOf, StatusRead
from admin_api.health.checks import list_problems, run_checks
from admin_api.health.status import StatusView, describe_status
from admin_api.http.identity import Principal, Scope
from admin_api.http.paths import PRINCIPAL
from admin_api.http.problems import (
    ApiError,
    ProblemError,
    ProblemKind,
    policy_problems,
    responses,
    unauthenticated,
    unavailable,
)
from admin_api.http.routing import resource_router
from admin_api.http.values import View
from admin_api.policy.schemas import PolicyReportView
from sentry_engine import PolicyError

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")

root = resource_router("", tag="health", prefix="")
router = resource_router("", tag="health")


class Health(BaseModel):
    status: str


class Readiness(BaseModel):
    status: str
    problems: list[str] = Field(description="Without the scope status:read only the first word of each.")


class ReloadView(View):
    in_force: list[str] = Field(description="Changed keys of the configuration that are in force now.")
    needs_restart: list[str] = Field(description="Changed keys that wait for a restart of the server.")
    policy: PolicyReportView | None = Field(description="The reload of the rules; null if it could not be done.")


@root.get("/healthz")
async def get_health() -> Health:
    """Answers while the process lives and its event loop runs."""
    return Health(status="ok")


@root.get("/readyz", responses={503: {"model": Readiness, "description": "Not ready; the problems are listed"}})
async def get_readiness(request: Request, services: ServicesOf, response: Response) -> Readiness:
    """Check that the server is ready: store, policy and VPN. Details need a token, or the Unix socket."""
    problems = list_problems(await run_checks(services))
    principal: Principal | None = request.scope.get(PRINCIPAL)
    if principal is None or not principal.may(Scope.STATUS_READ):
        problems = list(dict.fromkeys(problem.partition(":")[0] for problem in problems))
    if problems:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Readiness(status="not ready" if problems else "ready", problems=problems)


@root.get("/metrics", response_class=Response, responses=responses())
async def get_metrics(request: Request) -> Response:
    """Metrics in Prometheus' format. From this host no token is needed, from others one with the scope metrics:read."""
    principal: Principal | None = request.scope.get(PRINCIPAL)
    if principal is None and (not _from_this_host(request) or _was_forwarded(request)):
        raise unauthenticated("From other hosts, send a token with the scope metrics:read")
    if principal is not None and not principal.may(Scope.METRICS_READ):
        raise ApiError(ProblemKind.FORBIDDEN, f"This needs the scope {Scope.METRICS_READ}")
    registry: CollectorRegistry = request.app.state.registry
    try:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
    except (TypeError, ValueError, AttributeError, IndexError):  # the library fails on some malformed headers
        encode, content_type = choose_encoder("")
    return Response(encode(registry), media_type=content_type)


@router.get("/status", responses=responses())
async def get_status(_: StatusRead, services: ServicesOf) -> StatusView:
    """Get version, policy, sessions, leases, blocks and problems in one document."""
    return await describe_status(services)


@router.post(
    "/reload",
    responses=responses(ProblemKind.INVALID_CONFIGURATION, ProblemKind.INVALID_POLICY, ProblemKind.UNAVAILABLE),
)
async def reload_server(caller: PolicyWrite, services: ServicesOf) -> ReloadView:
    """Reload the configuration, the rules and the certificates, as SIGHUP does.

    A configuration with an error changes nothing. Some keys need a restart of the server; the answer names those that
    are changed and wait for one.
    """
    if services.reload is None:
        raise unavailable("No server runs")
    report = await services.reload(caller.name)
    if report.problems:
        errors = [ProblemError(pointer="", detail=problem) for problem in report.problems]
        raise ApiError(ProblemKind.INVALID_CONFIGURATION, "; ".join(report.problems), errors=errors)
    if report.policy is not None and not report.policy.valid:
        raise policy_problems(PolicyError(report.policy.problems))
    return ReloadView.model_validate(report)


def _was_forwarded(request: Request) -> bool:
    """True if a proxy on this host passes on another host's request."""
    return any(name in request.headers for name in FORWARDED)


def _from_this_host(request: Request) -> bool:
    try:
        return ip_address(request.client.host if request.client else "").is_loopback
    except ValueError:
        return False
